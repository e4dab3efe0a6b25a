/* SPDX-License-Identifier: Apache-2.0 */
/* Two thousand threads, each with a name, a mask bit and a value of its own. */
#include "behave.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { THREADS = 2000 };

static _Atomic int set_up, passed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t went = PTHREAD_COND_INITIALIZER;
static bool go;
static __thread long own;

static void *thread(void *arg)
{
	const intptr_t i = (intptr_t)arg;
	const pid_t tid = gettid();
	char name[16], now[16];
	sigset_t mask;
	bool ok;

	own = i;
	snprintf(name, sizeof(name), "worker %ld", (long)i);
	SYS(prctl(PR_SET_NAME, name));
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + (int)(i % 20));
	MUST(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
	set_up++;
	pthread_mutex_lock(&lock);
	while (!go)
		pthread_cond_wait(&went, &lock);
	pthread_mutex_unlock(&lock);
	SYS(prctl(PR_GET_NAME, now));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	ok = own == i && gettid() == tid && !strcmp(now, name) &&
	     sigismember(&mask, SIGRTMIN + (int)(i % 20)) &&
	     !sigismember(&mask, SIGRTMIN + (int)((i + 1) % 20));
	passed += ok;
	return NULL;
}

BEHAVE("2,000 threads", .limit = 120)
{
	static pthread_t threads[THREADS];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	MUST(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN) == 0);
	for (intptr_t i = 0; i < THREADS; i++) {
		int r = pthread_create(&threads[i], &attr, thread, (void *)i);

		if (r == EAGAIN)
			behave_skip("only %ld threads are allowed here", (long)i);
		MUST(r == 0);
	}
	while (set_up < THREADS)
		behave_nap(1);
	FREEZE();
	pthread_mutex_lock(&lock);
	go = true;
	pthread_cond_broadcast(&went);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	CHECK_EQ(passed, THREADS);
}
