/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The properties of processes and threads, in restore order. Each thread goes down the list once
 * for `restore` (the leader last), and once more for `late`. At a dump the order doesn't matter
 * but for signals, which are read after the timers that may still queue one.
 */
#include "task/part.h"

const struct task_part *const task_parts[] = {
	&cpu_part, /* first at a dump: makes the block that others write into */
	&lsm_part,
	/* Written from outside, through files that belong to the process's user: before creds. */
	&oom_part,
	&sched_part,
	/* The thread's own calls, in no particular order. */
	&comm_part,
	&tidaddr_part,
	&robust_part,
	&rseq_part,
	&sigstack_part,
	&personality_part,
	&membarrier_part,
	&subreaper_part,
	&loginuid_part, /* opens a file: before RLIMIT_NOFILE */
	&sigact_part,	/* late: throws pending SIGCHLDs away, so before sigqueue */
	&itimer_part,	/* at a dump: makes the block that ptimer writes into */
	&ptimer_part,	/* late: its timers take places in RLIMIT_SIGPENDING */
	&sigmask_part,
	&sigqueue_part, /* late: after all that makes or removes signals */
	&rlimit_part,	/* late: RLIMIT_SIGPENDING as it was, after what it counts */
	&seccomp_part,	/* needs no_new_privs or CAP_SYS_ADMIN: before creds take that away */
	&creds_part,
	&pdeath_part, /* cleared by changes of ids: after creds */
	NULL,
};
