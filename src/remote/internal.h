/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of remote/ that make and take apart targets. */
#pragma once

#include "remote/target.h"

/* For results that don't matter, with the reason beside it: gcc doesn't take a cast to void. */
static inline void ignore(int result)
{
	(void)result;
}

/* Parent, comm, state from /proc/PID/stat once more. ERR_GONE if there is nothing left of it. */
MUST_USE int target_refresh(struct target *t, struct err *err);
/* Is it dead or on its way? */
bool target_is_dead(const struct target *t);
/* Appends a thread with vtid = tid. */
struct target_thread *target_add_thread(struct target *t, pid_t tid);
/* Frees the threads that `is_unwanted` says yes to; NULL: all. */
void target_drop_threads(struct target *t, bool (*is_unwanted)(const struct target_thread *));

/* At the first stop: saves registers and mask; what in them needs correction is corrected. */
MUST_USE int thread_save(struct target_thread *th, struct err *err);

struct stop;
/* Seizes a thread and asks it to stop: 1, and it is in t->threads; 0 it is gone. */
MUST_USE int thread_seize(struct target *t, pid_t tid, struct err *err);
/*
 * The stop that was asked for, or one that must be passed on the way to it. 1 done (th->tid is 0
 * if it is dead), 0 not yet.
 */
MUST_USE int thread_take_stop(struct target_thread *th, const struct stop *stop, struct err *err);
/* Namespace numbers and seccomp: what needs each thread's status. */
MUST_USE int thread_describe(struct target_thread *th, struct err *err);
/* Detaches a thread that may not have stopped yet, which is waited for so many ms. */
void thread_let_go(struct target_thread *th, int patience);

/* Does it wait in vfork(), which no stop interrupts, until its child has called execve()? */
bool thread_in_vfork(const struct target_thread *th);
/* The refusal of a thread that didn't stop in time, with what it waits for. */
int thread_refuse_late(const struct target_thread *th, struct err *err);
/* Leads a thread out of the agent of a torpor that is dead, and saves its state again. */
MUST_USE int thread_leave_limbo(struct target_thread *th, struct err *err);

struct target_tree;
/* Fills the tree with the targets, the root of which is the first. */
void tree_order(struct target **targets, size_t n, struct target_tree *tree);
