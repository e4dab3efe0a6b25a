/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same filters in all threads of a process: inherited, or given to all with TSYNC. The image
 * has them once, and no_new_privs stays with those who have set it.
 */
#include "seccomp.h"

#include <errno.h>

static _Atomic int set_up;

static int error_of(long nr)
{
	return syscall(nr, 0, 0, 0) < 0 ? errno : 0;
}

static void check(void)
{
	CHECK_EQ(error_of(SYS_getppid), 61);
	CHECK_EQ(error_of(SYS_getpgid), 63); /* by the younger filter */
	CHECK_STR(behave_proc_status("thread-self", "Seccomp"), "2");
	CHECK_STR(behave_proc_status("thread-self", "Seccomp_filters"), "2");
}

static void *thread(void *arg)
{
	set_up++;
	behave_await_go();
	check();
	return NULL;
}

/* No thread has no_new_privs here, which filters don't need of the privileged. */
static void add(long nr, uint32_t error)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {4, insns};

	SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &prog));
}

static void *unprivileged(void *arg)
{
	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	thread(NULL);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	return NULL;
}

BEHAVE("seccomp filters that all threads have",
       .not_in_userns = "reading filters takes CAP_SYS_ADMIN outside of namespaces")
{
	pthread_t threads[5];

	if (geteuid() != 0)
		behave_skip("filters without no_new_privs take CAP_SYS_ADMIN");
	add(SYS_getppid, 61);
	add(SYS_getpgid, 63);
	for (int i = 0; i < 5; i++)
		threads[i] = behave_thread(i == 3 ? unprivileged : thread, NULL);
	while (set_up < 5)
		behave_nap(1);
	FREEZE();
	check();
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	for (int i = 0; i < 5; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
