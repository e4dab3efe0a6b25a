/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal that comes after the restore interrupts a call that was going on before, as it would
 * have: read() is restarted behind a handler with SA_RESTART and fails with EINTR behind one
 * without; nanosleep() always does, and says how much was left.
 */
#include "blocked.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

enum { LONG_S = 3600 };

static int ends[2];
static _Atomic int handled;

static void handler(int nr)
{
	handled++;
}

static void restarted(struct blocked *b)
{
	char c = 0;
	ssize_t n = read(ends[0], &c, 1);

	CHECK(n == 1 && c == 'x', "read behind SA_RESTART: %zd, errno %d", n, errno);
}

static void interrupted(struct blocked *b)
{
	char c;
	ssize_t n = read(ends[0], &c, 1);

	CHECK(n < 0 && errno == EINTR, "read: %zd, errno %d", n, errno);
}

static void sleeping(struct blocked *b)
{
	struct timespec time = {.tv_sec = LONG_S}, rest = {-1, -1};
	long r = syscall(SYS_nanosleep, &time, &rest);

	CHECK(r < 0 && errno == EINTR, "nanosleep: %ld, errno %d", r, errno);
	CHECK(rest.tv_sec <= LONG_S && rest.tv_sec > LONG_S - 120, "%ld s were left",
	      (long)rest.tv_sec);
}

BEHAVE("handlers after the restore interrupt calls from before it")
{
	static struct blocked jobs[] = {
		{"read, restarted", SYS_read, restarted},
		{"read, interrupted", SYS_read, interrupted},
		{"nanosleep", SYS_nanosleep, sleeping},
	};

	SYS(pipe2(ends, O_CLOEXEC));
	SYS(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART},
		      NULL));
	SYS(sigaction(SIGUSR2, &(struct sigaction){.sa_handler = handler}, NULL));
	blocked_start(jobs, 3);
	FREEZE();
	blocked_check_still(jobs, 3);
	MUST(pthread_kill(jobs[0].thread, SIGUSR1) == 0);
	MUST(pthread_kill(jobs[1].thread, SIGUSR2) == 0);
	MUST(pthread_kill(jobs[2].thread, SIGUSR2) == 0);
	while (handled < 3)
		behave_nap(1);
	MUST(pthread_join(jobs[1].thread, NULL) == 0);
	CHECK(!jobs[0].over, "read wasn't restarted");
	SYS(write(ends[1], "x", 1));
	MUST(pthread_join(jobs[0].thread, NULL) == 0);
	MUST(pthread_join(jobs[2].thread, NULL) == 0);
}
