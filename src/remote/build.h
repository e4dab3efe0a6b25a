/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making processes from outside (restore). Every half-made task is PTRACE_O_EXITKILL: if torpor
 * dies, all of it disappears. There is no self-restoring frame here and no signal ends a batch
 * unseen: the task has no state of its own yet.
 */
#pragma once

#include "remote/seize.h"

#include <signal.h>

struct build_opts {
	raddr_t scratch; /* where the agent lives: free in every address space of the tree */
	size_t scratch_len;
	int mailbox; /* fd number of the mailbox in every task; above every fd of the tree */
	/* The root isn't torpor's child but that of whoever adopts orphans (not with CLONE_PARENT).
	 */
	bool orphan_root;
};

#define BUILD_SCRATCH_LEN (512 * 1024)
#define BUILD_SIGNAL	  SIGURG /* ends the batches of half-made tasks */

/* What all tasks of one restore share: our end of the mailbox, options. */
struct build;
MUST_USE int build_new(const struct build_opts *opts, struct build **ret, struct err *err);
void build_free(struct build *b);

/*
 * A new process with pid `vpid` (clone3 set_tid; 0 = any): an empty address space but for the
 * scratch area (and [vsyscall]), an empty fd table but for the mailbox, all signal handlers
 * default, all signals blocked but the agent's. Child of torpor (or, with CLONE_PARENT in flags,
 * its sibling). Entered and ready for batches. EEXIST names who holds the pid.
 */
MUST_USE int build_root(struct build *b, uint64_t clone_flags, pid_t vpid, struct target **ret,
			struct err *err);
/*
 * The same as a copy of `parent` (fork; CLONE_PARENT, CLONE_FILES, CLONE_NEW* may be in flags):
 * memory is shared copy-on-write with it.
 */
MUST_USE int build_child(struct build *b, struct target *parent, uint64_t clone_flags, pid_t vpid,
			 struct target **ret, struct err *err);
/* n more threads with these ids, in one go. They appear in t->threads behind the leader. */
MUST_USE int build_threads(struct build *b, struct target *t, const pid_t *vtids, size_t n,
			   struct err *err);
/* Makes the task exit with this raw wait status; it becomes a zombie (leader only, no threads). */
MUST_USE int build_exit(struct target *t, int wait_status, struct err *err);
/*
 * From now on the agent's own signal is blocked in all threads, too, and calls run one by one: so
 * that signals of that number can be queued for the program and stay pending.
 */
MUST_USE int build_block_all(struct target *t, struct err *err);
/* Reaps a zombie child in its parent (remote wait4). */
MUST_USE int build_reap(struct target *parent, pid_t vpid, struct err *err);

/*
 * The last steps, called for each thread: registers, FPU and blocked mask to be resumed with.
 * The thread is left stopped.
 */
MUST_USE int build_set_state(struct target_thread *th, const struct arch_state *state,
			     uint64_t sigmask, struct err *err);
/*
 * Unmaps the scratch area and closes the mailbox (by the leader, before its own registers are
 * set); after it only build_set_state and build_release are allowed.
 */
MUST_USE int build_strip(struct target *t, struct err *err);
/*
 * Puts a stripped process whose states are set into group-stop by that signal (SIGSTOP where it
 * would be caught); its parent hears of it. It stays traced.
 */
MUST_USE int build_stop(struct target *t, int stop_signo, struct err *err);
/* The parent (entered) takes the news of that stop, so that its program isn't told twice. */
MUST_USE int build_forget_stop(struct target *parent, pid_t vpid, struct err *err);
/*
 * The decision: the whole tree, ready to run, no longer dies with torpor. Killed before it is made,
 * torpor leaves nothing; after it, a tree that runs. Then build_release for each.
 */
void build_commit(const struct target_tree *tree);
/* Detaches all threads: they run, or stay in group-stop. */
MUST_USE int build_release(struct target *t, struct err *err);
/* Kills a half-made task and waits for it; never fails. */
void build_kill(struct target *t);
