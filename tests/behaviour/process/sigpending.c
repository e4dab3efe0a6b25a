/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that are blocked and pending: those of the process and those of a thread, each with all
 * of its siginfo, real-time ones in the order in which they were queued.
 */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { QUEUED = 12 };

static _Atomic int set_up;
static pid_t child;

/* The next one of that number; false if there is none. (The C library changes SI_TKILL.) */
static bool take(int nr, siginfo_t *info)
{
	const uint64_t set = UINT64_C(1) << (nr - 1);

	memset(info, 0, sizeof(*info));
	return syscall(SYS_rt_sigtimedwait, &set, info, &(struct timespec){0}, sizeof(set)) == nr;
}

static void check_none(int nr)
{
	siginfo_t info;

	CHECK(!take(nr, &info), "one signal %d too many, code %d", nr, info.si_code);
}

/* Queues one with every field of its own, as rt_sigqueueinfo(2) lets us for codes below zero. */
static void queue(pid_t tid, int nr, int i)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = nr;
	info.si_errno = 70 + i;
	info.si_code = i % 2 ? SI_QUEUE : -60 - i;
	info.si_pid = 1000 + i;
	info.si_uid = 2000 + (uid_t)i;
	info.si_value.sival_ptr = (void *)(0x123456789abc0000 + (uintptr_t)i);
	if (tid)
		SYS(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, nr, &info));
	else
		SYS(syscall(SYS_rt_sigqueueinfo, getpid(), nr, &info));
}

static void check_queue(int nr)
{
	siginfo_t info;

	for (int i = 0; i < QUEUED; i++) {
		if (!take(nr, &info)) {
			CHECK(false, "signal %d: only %d of %d", nr, i, QUEUED);
			return;
		}
		CHECK_EQ(info.si_signo, nr);
		CHECK_EQ(info.si_errno, 70 + i);
		CHECK_EQ(info.si_code, i % 2 ? SI_QUEUE : -60 - i);
		CHECK_EQ(info.si_pid, 1000 + i);
		CHECK_EQ(info.si_uid, 2000 + i);
		CHECK_EQ((uintptr_t)info.si_value.sival_ptr, 0x123456789abc0000 + (uintptr_t)i);
	}
	check_none(nr);
}

/* Numbers of one signal for the process and of the same for a thread don't mix. */
static void *thread(void *arg)
{
	const pid_t tid = gettid();
	siginfo_t info;

	for (int i = 0; i < QUEUED; i++)
		queue(tid, SIGRTMIN + 5, i);
	queue(tid, SIGHUP, 3);
	SYS(tgkill(getpid(), tid, SIGUSR1));
	set_up++;
	behave_await_go();
	while (set_up != 2)
		behave_nap(1); /* until the other one has taken what is the process's */
	check_queue(SIGRTMIN + 5);
	CHECK(take(SIGHUP, &info), "no SIGHUP");
	CHECK_EQ(info.si_pid, 1003);
	CHECK_EQ(info.si_code, SI_QUEUE);
	check_none(SIGHUP);
	CHECK(take(SIGUSR1, &info), "no SIGUSR1");
	CHECK_EQ(info.si_code, SI_TKILL);
	CHECK_EQ(info.si_pid, getpid());
	check_none(SIGUSR1);
	return NULL;
}

/* Signals that the kernel itself has sent. */
static void make_kernel_signals(void)
{
	timer_t timer;
	int ends[2];
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGRTMIN + 9,
				 .sigev_value.sival_int = 909};

	child = SYS(fork());
	if (child == 0)
		_exit(17);
	SYS(waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT));
	SYS(pipe2(ends, O_CLOEXEC));
	SYS(close(ends[0]));
	CHECK(write(ends[1], "", 1) < 0 && errno == EPIPE, "wrote to a broken pipe");
	SYS(close(ends[1]));
	SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
	SYS(timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1}, NULL));
	SYS(kill(getpid(), SIGTERM));
	behave_nap(5);
}

static void check_kernel_signals(void)
{
	siginfo_t info;

	CHECK(take(SIGCHLD, &info), "no SIGCHLD");
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_status, 17);
	check_none(SIGCHLD);
	CHECK(take(SIGTERM, &info), "no SIGTERM");
	CHECK_EQ(info.si_code, SI_USER);
	CHECK_EQ(info.si_pid, getpid());
	CHECK_EQ(info.si_uid, getuid());
	check_none(SIGTERM);
	CHECK(take(SIGPIPE, &info), "no SIGPIPE");
	check_none(SIGPIPE);
	CHECK(take(SIGRTMIN + 9, &info), "no signal of the timer");
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK_EQ(info.si_value.sival_int, 909);
	check_none(SIGRTMIN + 9);
}

BEHAVE("pending signals of process and threads, with their siginfo and order")
{
	pthread_t other;
	sigset_t all, pending, now;
	siginfo_t info;
	int status = -1;

	sigfillset(&all);
	SYS(sigprocmask(SIG_SETMASK, &all, NULL));
	other = behave_thread(thread, NULL);
	while (!set_up)
		behave_nap(1);
	for (int i = 0; i < QUEUED; i++) {
		queue(0, SIGRTMIN + 5, i);
		queue(0, SIGRTMAX, i);
		queue(gettid(), SIGRTMIN + 1, i);
	}
	queue(0, SIGUSR2, 5); /* not real-time: the second is lost */
	queue(0, SIGUSR2, 6);
	make_kernel_signals();
	SYS(sigpending(&pending));
	FREEZE();
	SYS(sigpending(&now));
	CHECK_MEM(&now, &pending, 8);
	check_queue(SIGRTMIN + 5);
	check_queue(SIGRTMAX);
	check_queue(SIGRTMIN + 1);
	CHECK(take(SIGUSR2, &info), "no SIGUSR2");
	CHECK_EQ(info.si_pid, 1005);
	check_none(SIGUSR2);
	check_none(SIGHUP); /* the thread's own */
	set_up++;
	check_kernel_signals();
	MUST(pthread_join(other, NULL) == 0);
	for (int nr = 1; nr <= SIGRTMAX; nr++)
		check_none(nr);
	CHECK_EQ(SYS(waitpid(child, &status, 0)), child);
	CHECK_EQ(status, 17 << 8);
}
