/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp filters belong to threads: one that all got at once (TSYNC), one that only one thread
 * has, and a thread without any.
 */
#include "seccomp.h"

#include <errno.h>
#include <stdlib.h>

static _Atomic int set_up;
static _Atomic bool synced;

static int error_of(long nr)
{
	return syscall(nr, 0, 0, 0) < 0 ? errno : 0;
}

static void check(int getppid_error, int getpgid_error, int getsid_error)
{
	CHECK_EQ(error_of(SYS_getppid), getppid_error);
	CHECK_EQ(error_of(SYS_getpgid), getpgid_error);
	CHECK_EQ(error_of(SYS_getsid), getsid_error);
}

static void *with_its_own(void *arg)
{
	while (!synced)
		behave_nap(1);
	seccomp_add_errno(SYS_getsid, 50 + (uint32_t)(uintptr_t)arg, 0);
	set_up++;
	behave_await_go();
	check(77, 88, 50 + (int)(intptr_t)arg);
	return NULL;
}

static void *without(void *arg)
{
	while (!synced)
		behave_nap(1);
	set_up++;
	behave_await_go();
	check(77, 88, 0);
	return NULL;
}

/* Filters of threads alone: the process has none for all. */
static void *lone(void *arg)
{
	seccomp_add_errno(SYS_getppid, 44, 0);
	behave_child_ready();
	behave_await_go();
	check(44, 0, 0);
	return NULL;
}

static void process(void *arg)
{
	pthread_t thread = behave_thread(lone, NULL);

	behave_await_go();
	check(0, 0, 0);
	CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
	MUST(pthread_join(thread, NULL) == 0);
}

BEHAVE("seccomp filters of threads: TSYNC, of their own, none",
       .not_in_userns = "reading filters takes CAP_SYS_ADMIN outside of namespaces")
{
	pthread_t threads[4];
	pid_t pid = behave_fork(process, NULL);

	behave_await_children(1);
	for (intptr_t i = 0; i < 4; i++)
		threads[i] = behave_thread(i < 3 ? with_its_own : without, (void *)i);
	seccomp_add_errno(SYS_getppid, 77, SECCOMP_FILTER_FLAG_TSYNC);
	seccomp_add_errno(SYS_getpgid, 88, SECCOMP_FILTER_FLAG_TSYNC);
	synced = true;
	while (set_up < 4)
		behave_nap(1);
	FREEZE();
	check(77, 88, 0);
	for (int i = 0; i < 4; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	behave_join(pid);
}
