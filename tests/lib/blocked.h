/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that sleep in a system call: to wait until they do, and to wait for their end. */
#pragma once

#include "behave.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct blocked {
	const char *name;
	long nr;			 /* the call it will sleep in */
	void (*body)(struct blocked *b); /* checks by itself what came of it */
	_Atomic pid_t tid;
	_Atomic bool over;
	pthread_t thread;
};

static void *blocked_run(void *arg)
{
	struct blocked *b = arg;

	b->tid = gettid();
	b->body(b);
	b->over = true;
	return NULL;
}

/* Is it asleep in call `nr`? */
static inline bool blocked_in(pid_t tid, long nr)
{
	char path[64], *text;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	text = behave_read(path);
	is = text[0] >= '0' && text[0] <= '9' && strtol(text, NULL, 10) == nr;
	free(text);
	return is;
}

/* Starts all of them and waits until each is in its call. */
static inline void blocked_start(struct blocked *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		jobs[i].thread = behave_thread(blocked_run, &jobs[i]);
	for (size_t i = 0; i < n; i++) {
		while (!jobs[i].tid || !blocked_in(jobs[i].tid, jobs[i].nr))
			behave_nap(1);
	}
}

/* None has come back yet, and none had to be told to go on. */
static inline void blocked_check_still(const struct blocked *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(!jobs[i].over, "%s came back before its time", jobs[i].name);
}

static inline void blocked_join(struct blocked *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		MUST(pthread_join(jobs[i].thread, NULL) == 0);
}
