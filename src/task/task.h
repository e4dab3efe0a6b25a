/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process and its threads: everything in core-*.img and seccomp.img. One file per property
 * (creds.c, sigact.c, itimer.c, ...), each with its dump and restore half; parts.c is the table.
 * Format facts: ../shared/formats/IMAGES.md sections 5 and 19.
 */
#pragma once

#include "image/image.h"
#include "remote/target.h"

/* ------------------------------------------------------------------ dump */

/* All tasks of one dump: what they share (seccomp.img). */
struct tasks;
struct tasks *tasks_new(const struct img_dir *dir, struct arena *a);
/*
 * Collects one seized process and writes core-<vpid>.img and core-<vtid>.img of its threads.
 * The leader is entered; other threads are entered and left one after another. Zombies too (not
 * entered). `leave_stopped` etc. don't matter: task_state is what it was before we came.
 */
MUST_USE int task_dump(struct tasks *ts, struct target *t, struct err *err);
/* Refusals that can be seen without freezing (check --tree). */
MUST_USE int task_check(struct tasks *ts, struct target *t, struct err *err);
/* Writes seccomp.img. */
MUST_USE int tasks_finish(struct tasks *ts, struct err *err);

/* --------------------------------------------------------------- restore */

enum rtask_state { RTASK_ALIVE = 1, RTASK_DEAD = 2, RTASK_STOPPED = 3 }; /* disk values */

/* One process as its cores say, validated. */
struct rtask {
	uint32_t vpid;
	enum rtask_state state;
	int exit_code;	  /* raw wait status of a zombie */
	int stop_signo;	  /* of a stopped one */
	bool stop_untold; /* ... and its parent is still to hear of it */
	bool child_subreaper;
	bool parent_death; /* a thread wants a signal when the parent ends */
	char comm[16];
	size_t nthreads;
	struct rthread **threads; /* private to task/; [0] leader */
	struct rtask_priv *priv;  /* private to task/ */
};

struct rtasks; /* what all share: seccomp filters */
MUST_USE int rtasks_load(const struct img_dir *dir, struct arena *a, struct rtasks **ret,
			 struct err *err);
MUST_USE int rtask_load(struct rtasks *ts, uint32_t vpid, const uint32_t *vtids, size_t nthreads,
			struct rtask **ret, struct err *err);
/* Is this machine able to? (CPU features, seccomp, ids mapped, limits, capabilities.) */
MUST_USE int rtask_check(const struct rtask *rt, struct err *err);

/*
 * The process exists with all its threads, memory and files; the leader is entered. Everything
 * process-wide (handlers but SIGCHLD's, itimers, POSIX timers, limits, oom score, ...) and then
 * each thread's (name, scheduling, alternate stack, robust list, rseq, credentials, seccomp ...).
 * Timers are armed and pending signals queued last, in rtask_restore_late.
 */
MUST_USE int rtask_restore(struct target *t, const struct rtask *rt, struct err *err);
/*
 * After the credentials nothing privileged works in the task any more. Still to do here, shortly
 * before release: pending signals (shared and private), SIGCHLD's handler, timers armed, parent
 * death signals.
 */
MUST_USE int rtask_restore_late(struct target *t, const struct rtask *rt, struct err *err);
/* After build_strip: registers, FPU and blocked masks of all threads. */
MUST_USE int rtask_set_states(struct target *t, const struct rtask *rt, struct err *err);
