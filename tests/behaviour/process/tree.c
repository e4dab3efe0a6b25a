/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parents and children over several levels: who is whose child, in which order, and the exit
 * statuses that each gets to see.
 */
#include "behave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEVELS = 4, PROCESSES = 3 + 3 * 2 + 3 * 2 * 1 + 30 };

static const int width[LEVELS] = {3, 2, 1, 0};

static const char *children(void)
{
	return behave_read("/proc/thread-self/children");
}

static void node(int level);

static pid_t branch(int level, int code)
{
	pid_t parent = getpid(), pid = SYS(fork()), self;

	if (pid)
		return pid;
	self = getpid();
	node(level);
	CHECK_EQ(getpid(), self);
	CHECK_EQ(getppid(), parent);
	_exit(behave_status() ? 1 : code);
}

/* Code 10 + i for the i-th child; reaped from the last to the first. */
static void node(int level)
{
	const char *before;
	pid_t pids[3];

	for (int i = 0; i < width[level]; i++)
		pids[i] = branch(level + 1, 10 + i);
	before = children();
	if (level) {
		behave_child_ready();
	} else {
		behave_await_children(PROCESSES);
		behave_ready();
	}
	behave_await_go();
	CHECK_STR(children(), before);
	for (int i = width[level] - 1; i >= 0; i--) {
		int status = -1;

		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_EQ(status, (10 + i) << 8);
	}
}

/* Thirty levels with one process each. */
static void chain(void *arg)
{
	intptr_t left = (intptr_t)arg;
	pid_t parent = getppid(), pid = 0;

	if (left > 1)
		pid = behave_fork(chain, (void *)(left - 1));
	behave_child_ready();
	behave_await_go();
	if (pid)
		behave_join(pid);
	CHECK_EQ(getppid(), parent);
}

BEHAVE("a tree of processes: parents, order of children, exit statuses")
{
	pid_t pid = behave_fork(chain, (void *)30), status = -1;

	node(0);
	behave_join(pid);
	CHECK(waitpid(-1, &status, WNOHANG) == -1, "a child that isn't ours");
}
