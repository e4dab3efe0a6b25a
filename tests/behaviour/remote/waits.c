/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads asleep waiting for children and signals: wait4, waitid, pause, sigsuspend, sigtimedwait
 * with and without a timeout. Only what they wait for ends them.
 */
#include "blocked.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { TIMEOUT_S = 2 };

static pid_t pids[2];
static __thread volatile sig_atomic_t heard;

static void on_signal(int nr)
{
	heard = nr;
}

static void child(void *arg)
{
	behave_await_go();
	behave_nap(30);
}

static void in_wait4(struct blocked *b)
{
	int status = -1;
	pid_t pid = wait4(pids[0], &status, 0, NULL);

	CHECK(pid == pids[0] && status == 0, "wait4: %d, errno %d, status 0x%x", pid, errno,
	      status);
}

static void in_waitid(struct blocked *b)
{
	siginfo_t info = {0};
	int r = waitid(P_PID, (id_t)pids[1], &info, WEXITED);

	CHECK(r == 0 && info.si_pid == pids[1], "waitid: %d, errno %d", r, errno);
	CHECK_EQ(info.si_code, CLD_EXITED);
}

static void in_pause(struct blocked *b)
{
	long r = syscall(SYS_pause);

	CHECK(r < 0 && errno == EINTR && heard == SIGUSR1, "pause: %ld, errno %d, signal %d", r,
	      errno, heard);
}

static void in_sigsuspend(struct blocked *b)
{
	sigset_t set, others, now;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(pthread_sigmask(SIG_BLOCK, &set, &others) == 0);
	r = sigsuspend(&others);
	CHECK(r < 0 && errno == EINTR && heard == SIGUSR1, "sigsuspend: %d, errno %d, signal %d", r,
	      errno, heard);
	MUST(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
	CHECK(sigismember(&now, SIGUSR1), "sigsuspend's mask stayed in force");
}

static int timed_wait(int nr, const struct timespec *timeout, siginfo_t *info)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, nr);
	return sigtimedwait(&set, info, timeout);
}

static void in_sigwait(struct blocked *b)
{
	siginfo_t info = {0};
	int r = timed_wait(SIGRTMIN + 1, NULL, &info);

	CHECK(r == SIGRTMIN + 1, "sigwaitinfo: %d, errno %d", r, errno);
	CHECK_EQ(info.si_value.sival_int, 4711);
}

static void in_sigtimedwait(struct blocked *b)
{
	const struct timespec timeout = {.tv_sec = TIMEOUT_S};
	uint64_t begin = behave_now(), ms;
	siginfo_t info;
	int r = timed_wait(SIGRTMIN + 2, &timeout, &info);

	ms = (behave_now() - begin) / 1000000;
	CHECK(r < 0 && errno == EAGAIN, "sigtimedwait: %d, errno %d", r, errno);
	CHECK(ms >= TIMEOUT_S * 1000 && ms < TIMEOUT_S * 20000, "sigtimedwait took %lu ms",
	      (unsigned long)ms);
}

BEHAVE("asleep waiting for children and signals", .changes = "threads signals")
{
	static struct blocked jobs[] = {
		{"wait4", SYS_wait4, in_wait4},
		{"waitid", SYS_waitid, in_waitid},
		{"pause", SYS_pause, in_pause},
		{"sigsuspend", SYS_rt_sigsuspend, in_sigsuspend},
		{"sigwaitinfo", SYS_rt_sigtimedwait, in_sigwait},
		{"sigtimedwait", SYS_rt_sigtimedwait, in_sigtimedwait},
	};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	sigaddset(&set, SIGRTMIN + 2);
	SYS(sigprocmask(SIG_BLOCK, &set, NULL));
	SYS(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL));
	pids[0] = behave_fork(child, NULL);
	pids[1] = behave_fork(child, NULL);
	blocked_start(jobs, 6);
	FREEZE();
	blocked_check_still(jobs + 2, 3);
	MUST(pthread_kill(jobs[2].thread, SIGUSR1) == 0);
	MUST(pthread_kill(jobs[3].thread, SIGUSR1) == 0);
	SYS(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 4711}));
	blocked_join(jobs, 6);
}
