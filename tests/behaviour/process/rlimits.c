/* SPDX-License-Identifier: Apache-2.0 */
/* All 16 resource limits, soft and hard; a process whose limits are low goes on under them. */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIMITS = 16 };

static struct rlimit before[LIMITS];

static void get_all(struct rlimit *limits)
{
	for (unsigned int i = 0; i < LIMITS; i++)
		SYS(getrlimit((__rlimit_resource_t)i, &limits[i]));
}

static void check_all(void)
{
	struct rlimit now[LIMITS];

	get_all(now);
	for (int i = 0; i < LIMITS; i++)
		CHECK(now[i].rlim_cur == before[i].rlim_cur &&
			      now[i].rlim_max == before[i].rlim_max,
		      "limit %d is %lld/%lld, not %lld/%lld", i, (long long)now[i].rlim_cur,
		      (long long)now[i].rlim_max, (long long)before[i].rlim_cur,
		      (long long)before[i].rlim_max);
}

static void set(unsigned int which, rlim_t soft, rlim_t hard)
{
	struct rlimit limit;

	SYS(getrlimit((__rlimit_resource_t)which, &limit));
	limit.rlim_max = hard < limit.rlim_max ? hard : limit.rlim_max;
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	SYS(setrlimit((__rlimit_resource_t)which, &limit));
}

static void different(void)
{
	for (unsigned int i = 0; i < LIMITS; i++) {
		if (i != RLIMIT_STACK) /* comes last */
			set(i, ((rlim_t)1 << 40) + i, ((rlim_t)1 << 41) + 7 * i);
	}
	set(RLIMIT_NOFILE, 333, 777);
	set(RLIMIT_NICE, 0, 0);
	set(RLIMIT_RTPRIO, 0, 0);
	set(RLIMIT_CPU, 10000, 20000);
	set(RLIMIT_CORE, 0, RLIM_INFINITY);
	set(RLIMIT_RTTIME, 500, 1000);
	set(RLIMIT_SIGPENDING, 1000, 2000);
	set(RLIMIT_STACK, 9 << 20, (rlim_t)1 << 41);
}

/* Too low for what it has, or for anybody to do anything in its name. */
static void low(void)
{
	SYS(setrlimit(RLIMIT_NPROC, &(struct rlimit){1, 1}));
	SYS(setrlimit(RLIMIT_NOFILE, &(struct rlimit){2, 2}));
	SYS(setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0}));
	SYS(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}));
	SYS(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){0, 0}));
	SYS(setrlimit(RLIMIT_STACK, &(struct rlimit){4096, 4096}));
}

/* Can't even open a file to say that it is ready: its last limit tells. */
static void child(void *arg)
{
	((void (*)(void))arg)();
	get_all(before);
	behave_await_go();
	check_all();
}

static void await_limits(pid_t pid)
{
	struct rlimit limit;

	do {
		behave_nap(1);
		SYS(prlimit(pid, RLIMIT_STACK, NULL, &limit));
	} while (limit.rlim_max == RLIM_INFINITY);
}

BEHAVE("resource limits, also such that are exceeded already")
{
	pid_t one, other;

	SYS(sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL));
	one = behave_fork(child, different);
	other = behave_fork(child, low);
	await_limits(one);
	await_limits(other);
	get_all(before);
	FREEZE();
	check_all();
	behave_join(one);
	behave_join(other);
}
