/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending signals whose default is "ignore", with handlers and without: an engine may want them for
 * itself. And some without a siginfo, because there was no room for one in RLIMIT_SIGPENDING.
 */
#include "behave.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int numbers[] = {SIGURG, SIGWINCH, SIGCHLD};
static const int bare[] = {SIGUSR1, SIGALRM, SIGTERM};
static _Atomic int set_up;

static void handler(int nr)
{
	behave_fail(__FILE__, __LINE__, "signal %d was delivered", nr);
}

static bool take(int nr, siginfo_t *info)
{
	const uint64_t set = UINT64_C(1) << (nr - 1);

	memset(info, 0, sizeof(*info));
	return syscall(SYS_rt_sigtimedwait, &set, info, &(struct timespec){0}, sizeof(set)) == nr;
}

static void check(int nr, int code, pid_t from)
{
	siginfo_t info;

	CHECK(take(nr, &info), "no signal %d", nr);
	CHECK_EQ(info.si_code, code);
	CHECK_EQ(info.si_pid, from);
}

static void *thread(void *arg)
{
	for (int i = 0; i < 3; i++)
		SYS(tgkill(getpid(), gettid(), numbers[i]));
	set_up++;
	behave_await_go();
	while (set_up != 2)
		behave_nap(1);
	for (int i = 0; i < 3; i++)
		check(numbers[i], SI_TKILL, getpid());
	return NULL;
}

BEHAVE("pending signals that are ignored by default, and such without a siginfo")
{
	struct rlimit limit;
	pthread_t other;
	siginfo_t info;
	sigset_t all;

	sigfillset(&all);
	SYS(sigprocmask(SIG_SETMASK, &all, NULL));
	MUST(signal(SIGWINCH, handler) != SIG_ERR);
	for (int i = 0; i < 3; i++)
		SYS(kill(getpid(), numbers[i]));
	other = behave_thread(thread, NULL);
	while (!set_up)
		behave_nap(1);
	SYS(getrlimit(RLIMIT_SIGPENDING, &limit));
	limit.rlim_cur = 0;
	SYS(setrlimit(RLIMIT_SIGPENDING, &limit));
	/* A thread's own: signals of kill() have room over the limit. */
	for (int i = 0; i < 3; i++)
		SYS(tgkill(getpid(), gettid(), bare[i]));
	FREEZE();
	for (int i = 0; i < 3; i++) {
		check(numbers[i], SI_USER, getpid());
		check(bare[i], SI_USER, 0);
	}
	set_up++;
	MUST(pthread_join(other, NULL) == 0);
	for (int nr = 1; nr <= SIGRTMAX; nr++)
		CHECK(!take(nr, &info), "one signal %d too many", nr);
}
