/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SIGKILL for torpor kills torpor's threads only. A child made with CLONE_VM | CLONE_FILES is a
 * process of its own: it goes on, on the same memory and the same descriptor table, which live as
 * long as it does. CLONE_VFORK makes us wait, so nothing runs at the same time.
 */
#include "file/guard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STACK_LEN (64 * 1024)

struct job {
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static int run(void *arg)
{
	struct job *j = arg;

	j->result = j->fn(j->arg);
	return 0;
}

int guard_run(int (*fn)(void *arg), void *arg)
{
	struct job j = {.fn = fn, .arg = arg, .result = -EFAULT};
	sigset_t all, old;
	char *stack;
	pid_t pid;

	stack = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone(run, stack + STACK_LEN, CLONE_VM | CLONE_FILES | CLONE_VFORK, &j);
	if (pid < 0)
		j.result = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	/* No exit signal was asked for: only __WALL (or __WCLONE) finds it. */
	while (pid > 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	munmap(stack, STACK_LEN);
	return j.result;
}
