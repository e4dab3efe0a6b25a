/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word that the kernel clears, and wakes a futex on, when a thread ends: pthread_join()
 * waits for it. Also of a main thread, and moved elsewhere by set_tid_address().
 */
#include "behave.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int moved = 0x5555;
static int word;
static _Atomic int set_up;

static int *tid_address(void)
{
	int *address = NULL;

	SYS(prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0));
	return address;
}

static void *joined(void *arg)
{
	int *before = tid_address();

	set_up++;
	behave_await_go();
	CHECK(tid_address() == before, "the address is %p, not %p", (void *)tid_address(),
	      (void *)before);
	return NULL;
}

/* A thread with a word of its own: what the C library has set would not be cleared. */
static void *of_its_own(void *arg)
{
	SYS(syscall(SYS_set_tid_address, &moved));
	set_up++;
	behave_await_go();
	CHECK(tid_address() == &moved, "set_tid_address is lost");
	syscall(SYS_exit, 0);
	return NULL;
}

/* The word of a process that is alone in its memory is left as it is; but not forgotten. */
static void process(void *arg)
{
	SYS(syscall(SYS_set_tid_address, &word));
	behave_child_ready();
	behave_await_go();
	CHECK(tid_address() == &word, "set_tid_address of a main thread is lost");
}

BEHAVE("clear_child_tid of threads and processes")
{
	int *before = tid_address();
	pthread_t thread;
	pid_t pid;

	thread = behave_thread(joined, NULL);
	behave_thread(of_its_own, NULL);
	pid = behave_fork(process, NULL);
	behave_await_children(1);
	while (set_up < 2)
		behave_nap(1);
	FREEZE();
	CHECK(tid_address() == before, "the main thread's address is another");
	MUST(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < 2000 && moved; i++)
		behave_nap(1);
	CHECK_EQ(moved, 0);
	behave_join(pid);
}
