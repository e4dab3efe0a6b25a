/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for tracees and resuming them: nobody else decodes a wait status of a tracee or
 * restarts one.
 */
#pragma once

#include "remote/target.h"

enum stop_kind {
	STOP_TRAP,    /* PTRACE_INTERRUPT, or the first stop of a task born traced */
	STOP_GROUP,   /* the process is in group-stop by `signo` */
	STOP_SIGNAL,  /* `signo` is about to be delivered */
	STOP_SYSCALL, /* entry or exit of a system call */
	STOP_EVENT,   /* another PTRACE_EVENT_* */
	STOP_GONE,    /* it exited or was killed; `status` is what wait gave */
};

struct stop {
	enum stop_kind kind;
	int signo;
	int status;
};

enum resume_how {
	RESUME_CONT,
	RESUME_SYSCALL, /* up to the next entry or exit of a system call */
	RESUME_DETACH,
};

/*
 * Waits for the next stop of a thread. If the whole process dies meanwhile, its threads are
 * reaped, the target is marked as died, and the result is ERR_GONE.
 */
MUST_USE int thread_wait(struct target_thread *th, struct stop *ret, struct err *err);
/* The same without sleeping or reaping: 1 stopped or gone, 0 not yet. */
MUST_USE int thread_poll(struct target_thread *th, struct stop *ret, struct err *err);
/* Sleeps until some child or tracee has something to report, or for so many ms. */
void wait_for_news(int timeout_ms);

/*
 * What to resume a thread with that has work to do for us: SIGSTOP can't be blocked, and is
 * delivered. The process is then in group-stop, but what is resumed by its tracer runs on, and
 * stops when it is released or when we die.
 */
int stop_passes(const struct stop *stop);

/* `signo` is delivered if the thread is in a STOP_SIGNAL. ERR_GONE if it is dead. */
MUST_USE int thread_resume(struct target_thread *th, enum resume_how how, int signo,
			   struct err *err);
/* One plain ptrace request on a stopped thread; -ESRCH becomes ERR_GONE. */
MUST_USE int thread_ptrace(const struct target_thread *th, int request, const char *name,
			   uint64_t addr, uint64_t data, struct err *err);
MUST_USE int thread_set_mask(const struct target_thread *th, uint64_t mask, struct err *err);

/* Waits until a single-threaded process is dead; *ret_status is what wait gave. */
MUST_USE int thread_wait_death(struct target_thread *th, int *ret_status, struct err *err);

/* Reaps what is left of a dying process, so that its parent gets its exit status. ERR_GONE. */
int target_reap(struct target *t, struct err *err);
