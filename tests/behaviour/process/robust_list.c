/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Robust mutexes: when a process or thread dies, the kernel walks the list that was registered
 * for it and marks what it held; the next owner is told.
 */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
	pthread_mutex_t of_process, of_thread;
};

static struct shared *s;
static _Atomic bool die;

static void *robust_head(size_t *len)
{
	void *head = NULL;

	SYS(syscall(SYS_get_robust_list, 0, &head, len));
	return head;
}

static void check_head(const void *head, size_t len)
{
	size_t now_len = 0;
	const void *now = robust_head(&now_len);

	CHECK(now == head, "list at %p, not %p", now, head);
	CHECK_EQ(now_len, len);
}

static void init_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	MUST(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	MUST(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	MUST(pthread_mutex_init(mutex, &attr) == 0);
}

static void owner_process(void *arg)
{
	MUST(pthread_mutex_lock(&s->of_process) == 0);
	behave_child_ready();
	behave_nap(3600 * 1000);
}

static void *owner_thread(void *arg)
{
	size_t len;
	const void *head = robust_head(&len);

	MUST(pthread_mutex_lock(&s->of_thread) == 0);
	behave_child_ready();
	behave_await_go();
	check_head(head, len);
	while (!die)
		behave_nap(1);
	return NULL;
}

static void check_mutex(pthread_mutex_t *mutex)
{
	CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(mutex), 0);
	CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

BEHAVE("robust mutexes of a process and of a thread that die after the restore")
{
	pthread_t thread;
	const void *head;
	size_t len;
	pid_t pid;

	s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(s != MAP_FAILED);
	init_mutex(&s->of_process);
	init_mutex(&s->of_thread);
	head = robust_head(&len);
	pid = behave_fork(owner_process, NULL);
	thread = behave_thread(owner_thread, NULL);
	behave_await_children(2);
	FREEZE();
	check_head(head, len);
	CHECK_EQ(pthread_mutex_trylock(&s->of_process), EBUSY);
	CHECK_EQ(pthread_mutex_trylock(&s->of_thread), EBUSY);
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, NULL, 0));
	die = true;
	MUST(pthread_join(thread, NULL) == 0);
	check_mutex(&s->of_process);
	check_mutex(&s->of_thread);
}
