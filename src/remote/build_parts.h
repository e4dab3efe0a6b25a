/* SPDX-License-Identifier: Apache-2.0 */
/* Between build.c, build_root.c and build_exit.c. */
#pragma once

#include "remote/build.h"

struct build {
	struct build_opts opts;
	int ours, theirs; /* the mailbox */
};

/* An error for a clone3() that failed with `code`: who has the id, or what is missing. */
int clone_failed(int code, pid_t vpid, bool nested, struct err *err);
/*
 * The kernel frees a dead process's id a moment after the process can't be found any more; no event
 * tells. True, after a short wait: try again.
 */
bool pid_is_passing(int code, pid_t vpid, bool nested, int *tries);
/* The target of a task just cloned, with its scratch area and leader. */
MUST_USE int half_made_open(struct build *b, pid_t pid, struct target *parent, struct target **ret,
			    struct err *err);
/* The first stop of a task that is traced from birth or was just seized. */
MUST_USE int first_stop(struct target_thread *th, struct err *err);
