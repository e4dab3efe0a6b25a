/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is always in the middle of something and checks itself: threads blocked in all
 * kinds of system calls that must neither fail nor end too early, and threads that compute with
 * every register. For tests that interrupt it from outside.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

#define BUSY_WORKERS_MAX 32

struct busy_worker {
	_Atomic unsigned long rounds;
	_Atomic unsigned long failures;
	pid_t tid;
	char name[24];
	char failure[100]; /* the first one */
};

/* Shared between the target and who watches it. */
struct busy {
	size_t n;
	struct busy_worker workers[BUSY_WORKERS_MAX];
	_Atomic int quit;
};

enum busy_flags {
	BUSY_CATCH_ALL = 1, /* handlers for SIGURG, SIGWINCH and SIGCHLD, which must never run */
	/*
	 * epoll_wait() and sigtimedwait() may fail with EINTR: signal(7) says so of any stop, and a
	 * tracer that dies just after it has stopped a thread can't prevent it.
	 */
	BUSY_ALLOW_EINTR = 4,
	BUSY_FILTER = 2, /* a seccomp filter that kills for what a tracer's helper would call */
	/* Forked by a thread, when all of the main stack had been used: nobody runs on that one. */
	BUSY_THREAD_CHILD = 8,
};

/* Forks the target; its state is in *ret (shared memory). */
pid_t busy_start(int flags, struct busy **ret);
/* Prints failures and workers that haven't got on since `last` (may be NULL). How many there are.
 */
unsigned long busy_check(const struct busy *b, const unsigned long *last);
/* Rounds of each worker. */
void busy_rounds(const struct busy *b, unsigned long *rounds);
/* How many workers are still in the round in which they were. */
size_t busy_stuck(const struct busy *b, const unsigned long *last);
