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
