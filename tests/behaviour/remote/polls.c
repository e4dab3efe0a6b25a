/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads asleep in poll(), ppoll(), select() and pselect6(): with a timeout that they sit out,
 * and without one, waiting for a pipe. None sees an EINTR; signal masks that such a call puts in
 * force for its time are in force again.
 */
#include "blocked.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

enum { TIMEOUT_MS = 2000 };

static int silent[2], talking[2];
static volatile sig_atomic_t heard;

static void on_signal(int nr)
{
	heard++;
}

static void check_timeout(const struct blocked *b, uint64_t begin, long r)
{
	const uint64_t ms = (behave_now() - begin) / 1000000;

	CHECK(r == 0, "%s: %ld, errno %d", b->name, r, errno);
	CHECK(ms >= TIMEOUT_MS, "%s came back after %lu ms", b->name, (unsigned long)ms);
	CHECK(ms < 20 * TIMEOUT_MS, "%s came back after %lu ms", b->name, (unsigned long)ms);
}

static void poll_timeout(struct blocked *b)
{
	struct pollfd p = {silent[0], POLLIN, 0};
	uint64_t begin = behave_now();

	check_timeout(b, begin, syscall(SYS_poll, &p, 1, TIMEOUT_MS));
}

static void ppoll_timeout(struct blocked *b)
{
	struct timespec timeout = {TIMEOUT_MS / 1000, 0};
	struct pollfd p = {silent[0], POLLIN, 0};
	uint64_t begin = behave_now();

	check_timeout(b, begin, syscall(SYS_ppoll, &p, 1, &timeout, NULL, 0));
}

static void select_timeout(struct blocked *b)
{
	struct timeval timeout = {TIMEOUT_MS / 1000, 0};
	uint64_t begin = behave_now();
	fd_set set;

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	check_timeout(b, begin, syscall(SYS_select, silent[0] + 1, &set, NULL, NULL, &timeout));
}

static void pselect_timeout(struct blocked *b)
{
	struct timespec timeout = {TIMEOUT_MS / 1000, 0};
	uint64_t begin = behave_now();

	check_timeout(b, begin, syscall(SYS_pselect6, 0, NULL, NULL, NULL, &timeout, NULL));
}

static void poll_forever(struct blocked *b)
{
	struct pollfd p = {talking[0], POLLIN, 0};
	int r = poll(&p, 1, -1);

	CHECK(r == 1 && p.revents == POLLIN, "poll: %d, errno %d", r, errno);
	CHECK(behave_go(), "poll came back too early");
}

static void select_forever(struct blocked *b)
{
	fd_set set;
	long r;

	FD_ZERO(&set);
	FD_SET(talking[0], &set);
	r = syscall(SYS_select, talking[0] + 1, &set, NULL, NULL, NULL);
	CHECK(r == 1 && FD_ISSET(talking[0], &set), "select: %ld, errno %d", r, errno);
	CHECK(behave_go(), "select came back too early");
}

/* The signal is blocked but within the call: it is that which lets the thread have it. */
static void ppoll_for_signal(struct blocked *b)
{
	sigset_t blocked, open;
	int r;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	MUST(pthread_sigmask(SIG_BLOCK, &blocked, &open) == 0);
	r = ppoll(NULL, 0, NULL, &open);
	CHECK(r < 0 && errno == EINTR, "ppoll: %d, errno %d", r, errno);
	CHECK_EQ(heard, 1);
	MUST(pthread_sigmask(SIG_BLOCK, NULL, &open) == 0);
	CHECK(sigismember(&open, SIGUSR1), "ppoll's mask stayed in force");
}

BEHAVE("asleep in poll and select", .changes = "threads signals")
{
	static struct blocked timed[] =
		{
			{"poll", SYS_poll, poll_timeout},
			{"ppoll", SYS_ppoll, ppoll_timeout},
			{"select", SYS_select, select_timeout},
			{"pselect6", SYS_pselect6, pselect_timeout},
		},
			      endless[] = {
				      {"poll without timeout", SYS_poll, poll_forever},
				      {"select without timeout", SYS_select, select_forever},
				      {"ppoll with a mask", SYS_ppoll, ppoll_for_signal},
			      };
	const sigset_t none = {0};

	SYS(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL));
	SYS(pipe2(silent, O_CLOEXEC));
	SYS(pipe2(talking, O_CLOEXEC));
	MUST(pthread_sigmask(SIG_SETMASK, &none, NULL) == 0);
	blocked_start(timed, 4);
	blocked_start(endless, 3);
	FREEZE();
	blocked_check_still(endless, 3);
	CHECK_EQ(heard, 0);
	SYS(write(talking[1], "x", 1));
	MUST(pthread_kill(endless[2].thread, SIGUSR1) == 0);
	blocked_join(endless, 3);
	blocked_join(timed, 4);
}
