/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that wait for each other when they are frozen: a mutex that is held, a condition
 * variable with and without timeout, a semaphore, a barrier, a reader-writer lock.
 */
#include "behave.h"

#include <errno.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t signalled = PTHREAD_COND_INITIALIZER, never = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static _Atomic int waiting, owners, woken, released, late;
static bool flag;

static void *holder(void *arg)
{
	pthread_mutex_lock(&held);
	pthread_rwlock_wrlock(&rwlock);
	waiting++;
	behave_await_go();
	behave_nap(20);
	CHECK_EQ(owners, 0);
	pthread_rwlock_unlock(&rwlock);
	pthread_mutex_unlock(&held);
	return NULL;
}

static void *mutex_waiter(void *arg)
{
	waiting++;
	MUST(pthread_mutex_lock(&held) == 0);
	CHECK(behave_go(), "got a mutex that is held");
	CHECK_EQ(++owners, 1);
	behave_nap(1);
	owners--;
	pthread_mutex_unlock(&held);
	return NULL;
}

static void *reader(void *arg)
{
	waiting++;
	MUST(pthread_rwlock_rdlock(&rwlock) == 0);
	CHECK(behave_go(), "got a lock that is held");
	pthread_rwlock_unlock(&rwlock);
	return NULL;
}

static void *condition_waiter(void *arg)
{
	pthread_mutex_lock(&lock);
	waiting++;
	while (!flag)
		pthread_cond_wait(&signalled, &lock);
	woken++;
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* An absolute time: what matters is that it isn't early, nor much later. */
static void *timed_waiter(void *arg)
{
	struct timespec until, now;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	pthread_mutex_lock(&lock);
	waiting++;
	while (r == 0)
		r = pthread_cond_timedwait(&never, &lock, &until);
	pthread_mutex_unlock(&lock);
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK_EQ(r, ETIMEDOUT);
	CHECK(now.tv_sec > until.tv_sec ||
		      (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec),
	      "timed out too early");
	late++;
	return NULL;
}

static void *semaphore_waiter(void *arg)
{
	waiting++;
	while (sem_wait(&semaphore) < 0)
		CHECK(false, "sem_wait: errno %d", errno);
	released++;
	return NULL;
}

static void *barrier_waiter(void *arg)
{
	waiting++;
	pthread_barrier_wait(&barrier);
	CHECK(behave_go(), "passed the barrier");
	return NULL;
}

BEHAVE("threads that wait for each other")
{
	void *(*const bodies[])(void *) = {holder,	     mutex_waiter,     mutex_waiter,
					   mutex_waiter,     reader,	       reader,
					   condition_waiter, condition_waiter, condition_waiter,
					   timed_waiter,     semaphore_waiter, semaphore_waiter,
					   barrier_waiter,   barrier_waiter};
	enum { N = sizeof(bodies) / sizeof(bodies[0]) };
	pthread_t threads[N];

	SYS(sem_init(&semaphore, 0, 0));
	MUST(pthread_barrier_init(&barrier, NULL, 3) == 0);
	for (int i = 0; i < N; i++) {
		threads[i] = behave_thread(bodies[i], NULL);
		while (waiting <= i)
			behave_nap(1);
	}
	behave_nap(10);
	FREEZE();
	CHECK_EQ(woken, 0);
	CHECK_EQ(released, 0);
	pthread_mutex_lock(&lock);
	flag = true;
	pthread_cond_broadcast(&signalled);
	pthread_mutex_unlock(&lock);
	SYS(sem_post(&semaphore));
	SYS(sem_post(&semaphore));
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < N; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	CHECK_EQ(woken, 3);
	CHECK_EQ(released, 2);
	CHECK_EQ(late, 1);
}
