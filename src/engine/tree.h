/* SPDX-License-Identifier: Apache-2.0 */
/* The process tree at a dump: who may be its root, whose child is who, sessions and groups. */
#pragma once

#include "remote/seize.h"

/* Is there such a process, and is torpor itself outside of its tree? */
MUST_USE int tree_check_pid(pid_t root, struct err *err);
/* The parent of t; NULL for the root. */
struct target *tree_parent(const struct target_tree *tree, const struct target *t);
/* Session and process group of a process (zombies too), as the process sees them. */
MUST_USE int tree_session(const struct target *t, uint32_t *ret_sid, uint32_t *ret_pgid,
			  struct err *err);
/*
 * Sessions and groups whose leaders live outside of the tree can't be made again: only the root's
 * own may be such, with --shell-job.
 */
MUST_USE int tree_check_sessions(const struct target_tree *tree, bool shell_job, struct err *err);

/*
 * The tree below `root` as it runs, parents first, nothing seized; who comes or goes meanwhile may
 * be in it or not. A process that can't be opened (its main thread is dead) is left out, and told
 * of: a negative answer ends the search.
 */
typedef int tree_refused(void *ctx, const struct err *why);
MUST_USE int tree_list(pid_t root, tree_refused *refused, void *ctx, struct target_tree *ret,
		       struct err *err);
void tree_list_free(struct target_tree *tree);
