/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that is killed at any system call but the few that it needs: freezing it takes calls
 * within it, which its filter must not see. It is in force all the same before and after.
 */
#include "seccomp.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void confine(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SECCOMP_NR),
		ALLOW(SYS_access),
		ALLOW(SYS_clock_nanosleep),
		ALLOW(SYS_restart_syscall),
		ALLOW(SYS_openat),
		ALLOW(SYS_write),
		ALLOW(SYS_close),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
}

static void well_behaved(void *arg)
{
	confine();
	behave_child_ready();
	behave_await_go();
}

static void curious(void *arg)
{
	well_behaved(arg);
	syscall(SYS_getpid);
}

BEHAVE("a filter that kills at nearly every call",
       .not_in_userns = "freezing it takes CAP_SYS_ADMIN outside of namespaces")
{
	pid_t one = behave_fork(well_behaved, NULL), other = behave_fork(curious, NULL);
	int status = -1;

	behave_await_children(2);
	FREEZE();
	behave_join(one);
	CHECK_EQ(SYS(waitpid(other, &status, 0)), other);
	CHECK_EQ(status & 0x7f, SIGSYS);
}
