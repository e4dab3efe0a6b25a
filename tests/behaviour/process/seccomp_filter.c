/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp filters: a single one, stacked ones, inherited ones with more on top, and each kind of
 * answer: an error number, a signal, the death of the process. The order of a stack is that of
 * the calls; the strictest answer counts.
 */
#include "seccomp.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static volatile int trapped;

static void on_trap(int nr, siginfo_t *info, void *context)
{
	trapped = info->si_syscall;
}

static int error_of(long nr)
{
	return syscall(nr, 0, 0, 0) < 0 ? errno : 0;
}

static void check_filtered(int getppid_error, int getpgid_error, int getsid_error)
{
	CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), getppid_error ? SECCOMP_MODE_FILTER : 0);
	CHECK_EQ(error_of(SYS_getppid), getppid_error);
	CHECK_EQ(error_of(SYS_getpgid), getpgid_error);
	CHECK_EQ(error_of(SYS_getsid), getsid_error);
}

static const char *filters(void)
{
	return behave_proc_status("self", "Seccomp_filters");
}

static void single(void *arg)
{
	seccomp_add_errno(SYS_getppid, 77, 0);
	behave_child_ready();
	behave_await_go();
	check_filtered(77, 0, 0);
	CHECK_STR(filters(), "1");
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

/* Shares two filters with its parent and has one of its own. */
static void grandchild(void *arg)
{
	seccomp_add_errno(SYS_getsid, 99, SECCOMP_FILTER_FLAG_LOG);
	behave_child_ready();
	behave_await_go();
	check_filtered(70, 88, 99);
	CHECK_STR(filters(), "4");
}

static void stacked(void *arg)
{
	pid_t pid;

	seccomp_add_errno(SYS_getppid, 77, 0);
	seccomp_add_errno(SYS_getpgid, 88, 0);
	seccomp_add_errno(SYS_getppid, 70, 0); /* of equal answers the last filter's counts */
	pid = behave_fork(grandchild, NULL);
	behave_child_ready();
	behave_await_go();
	check_filtered(70, 88, 0);
	CHECK_STR(filters(), "3");
	behave_join(pid);
}

static void trapping(void *arg)
{
	SYS(sigaction(SIGSYS, &(struct sigaction){.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO},
		      NULL));
	seccomp_add(SYS_getppid, SECCOMP_RET_TRAP, 0);
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(trapped, 0);
	syscall(SYS_getppid);
	CHECK_EQ(trapped, SYS_getppid);
}

static void deadly(void *arg)
{
	seccomp_add(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
	behave_child_ready();
	behave_await_go();
	syscall(SYS_getppid);
}

BEHAVE("seccomp filters: single, stacked, inherited, trapping, deadly",
       .not_in_userns = "reading filters takes CAP_SYS_ADMIN outside of namespaces")
{
	static void (*const bodies[])(void *) = {single, stacked, trapping};
	int status = -1;
	pid_t pids[3], pid;

	for (int i = 0; i < 3; i++)
		pids[i] = behave_fork(bodies[i], NULL);
	pid = behave_fork(deadly, NULL);
	behave_await_children(5);
	FREEZE();
	check_filtered(0, 0, 0);
	for (int i = 0; i < 3; i++)
		behave_join(pids[i]);
	CHECK_EQ(SYS(waitpid(pid, &status, 0)), pid);
	CHECK_EQ(status & 0x7f, SIGSYS);
}
