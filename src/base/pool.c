/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include "base/auto.h"
#include "base/vec.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

#define THREADS_MAX 8

struct job {
	int (*fn)(void *arg, struct err *err);
	void *arg;
};

struct pool {
	unsigned int wanted, nthreads;
	pthread_t threads[THREADS_MAX];
	pthread_mutex_t lock;
	pthread_cond_t more, idle;
	VEC(struct job) jobs;
	size_t next; /* of jobs */
	size_t running;
	bool end;
	struct err first;
};

static unsigned int usable_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

struct pool *pool_new(unsigned int nthreads)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->wanted = MIN(nthreads ? nthreads : usable_cpus(), (unsigned int)THREADS_MAX);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	pthread_cond_init(&p->idle, NULL);
	return p;
}

unsigned int pool_threads(const struct pool *p)
{
	return p->wanted;
}

/* With the lock held, which is given up while the job runs. */
static void run_next(struct pool *p)
{
	struct job job = p->jobs.data[p->next++];
	struct err err = ERR_INIT;
	int r;

	p->running++;
	pthread_mutex_unlock(&p->lock);
	r = job.fn(job.arg, &err);
	pthread_mutex_lock(&p->lock);
	p->running--;
	if (r < 0 && !p->first.code) {
		p->first = err;
		p->next = p->jobs.len;
	}
	if (p->next == p->jobs.len) {
		p->next = p->jobs.len = 0;
		if (!p->running)
			pthread_cond_broadcast(&p->idle);
	}
}

static void *work(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->end) {
		if (p->next < p->jobs.len)
			run_next(p);
		else
			pthread_cond_wait(&p->more, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are for the thread that waits for targets. */
static void start_threads(struct pool *p)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->nthreads < p->wanted &&
	       pthread_create(&p->threads[p->nthreads], NULL, work, p) == 0)
		p->nthreads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void pool_add(struct pool *p, int (*fn)(void *arg, struct err *err), void *arg)
{
	pthread_mutex_lock(&p->lock);
	if (!p->nthreads)
		start_threads(p);
	if (!p->first.code)
		*vec_push(&p->jobs) = (struct job){fn, arg};
	if (!p->nthreads && p->next < p->jobs.len)
		run_next(p); /* there are no threads to be had */
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
}

int pool_wait(struct pool *p, struct err *err)
{
	int r;

	pthread_mutex_lock(&p->lock);
	while (p->next < p->jobs.len || p->running)
		pthread_cond_wait(&p->idle, &p->lock);
	r = p->first.code;
	if (r)
		*err = p->first;
	p->first = (struct err)ERR_INIT;
	pthread_mutex_unlock(&p->lock);
	return r;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->end = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned int i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->more);
	pthread_cond_destroy(&p->idle);
	vec_done(&p->jobs);
	free(p);
}
