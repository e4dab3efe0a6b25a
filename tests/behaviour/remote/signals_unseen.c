/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with a handler for each signal, in several processes and threads, some asleep and some
 * computing: no handler is ever called for what torpor does, and no call fails with EINTR.
 */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t heard[65];
static int ends[2];
static _Atomic int computing, sleeping;

static void on_signal(int nr)
{
	heard[nr]++;
}

static void check_unheard(void)
{
	for (int nr = 1; nr <= SIGRTMAX; nr++)
		CHECK(!heard[nr], "signal %d was heard %d times", nr, heard[nr]);
}

static void *compute(void *arg)
{
	computing++;
	while (!behave_go()) {
		for (int i = 0; i < 100000; i++)
			__asm__ volatile("" ::: "memory");
	}
	return NULL;
}

/* Of each call that isn't restarted: without a signal there is nothing to restart it for. */
static void *sleep_on(void *arg)
{
	ssize_t n;
	char c;

	sleeping++;
	n = read(ends[0], &c, 1);
	CHECK(n == 1, "read: %zd, errno %d", n, errno);
	return NULL;
}

static void catch_all(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	for (int nr = 1; nr <= SIGRTMAX; nr++) {
		if (nr != SIGKILL && nr != SIGSTOP && nr != 32 && nr != 33)
			SYS(sigaction(nr, &action, NULL));
	}
}

static void child(void *arg)
{
	pthread_t one = behave_thread(compute, NULL), other = behave_thread(sleep_on, NULL);

	while (!computing || !sleeping)
		behave_nap(1);
	behave_child_ready();
	behave_await_go();
	behave_nap(20);
	check_unheard();
	SYS(write(ends[1], "x", 1));
	MUST(pthread_join(one, NULL) == 0);
	MUST(pthread_join(other, NULL) == 0);
	_exit(behave_status());
}

BEHAVE("handlers for all signals hear nothing of a dump")
{
	pid_t pids[2];

	catch_all();
	SYS(pipe2(ends, O_CLOEXEC));
	pids[0] = behave_fork(child, NULL);
	pids[1] = behave_fork(child, NULL);
	behave_await_children(2);
	FREEZE();
	check_unheard();
	behave_join(pids[0]);
	behave_join(pids[1]);
	/* Now there is something to hear. */
	CHECK(heard[SIGCHLD] > 0, "the handlers are dead");
	raise(SIGURG);
	CHECK_EQ(heard[SIGURG], 1);
}
