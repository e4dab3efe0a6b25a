/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping one process for as short a time as can be. Seizing whole trees: seize.c.
 *
 * A parent in vfork() stops only when its child has called execve(), which may take long, and a
 * thread that was asked to stop can't be let go before it does. So whoever is seen there isn't
 * asked at all; who gets there just then is waited for a little longer.
 */
#include "remote/borrow.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "kernel/proc.h"
#include "remote/arch/x86_64/gadget.h"
#include "remote/batch.h"
#include "remote/internal.h"
#include "remote/wait.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define VFORK_PATIENCE_MS 3
#define D_PATIENCE_MS	  20
#define PATIENCE_MS	  1000
/* Who is in vfork() now isn't in a moment, mostly. */
#define ATTEMPTS 10
#define PAUSE_MS 20
/* Threads that are made while others are being stopped: looked for again so many times. */
#define ROUNDS_MAX 100

static bool is_uninterruptible(const struct target_thread *th)
{
	char path[48];
	struct proc_stat st;

	snprintf(path, sizeof(path), "task/%d/stat", th->tid);
	return proc_read_stat(th->target->proc, path, &st) == 0 && st.state == 'D';
}

/* A thread that only needs a CPU is waited for; one that may not come for long isn't. */
static bool is_hopeless(const struct target_thread *th, int waited_ms)
{
	return (waited_ms >= VFORK_PATIENCE_MS && thread_in_vfork(th)) ||
	       (waited_ms >= D_PATIENCE_MS && is_uninterruptible(th)) || waited_ms >= PATIENCE_MS;
}

/* -EAGAIN without an error: it doesn't stop. */
static int wait_stop(struct target_thread *th, struct err *err)
{
	struct stop stop;
	int r, waited = 0;

	for (;;) {
		r = thread_poll(th, &stop, err);
		TRY(r);
		if (r == 1) {
			r = thread_take_stop(th, &stop, err);
			TRY(r);
			if (r == 1)
				return 0;
			continue;
		}
		if (is_hopeless(th, waited++))
			return -EAGAIN;
		wait_for_news(1);
	}
}

static bool is_dead(const struct target_thread *th)
{
	return th->tid == 0;
}

static int gone(const struct target *t, struct err *err)
{
	return err_gone(err, "pid %d (%s): its main thread has ended", t->pid, t->comm);
}

static int stop_leader(struct target *t, struct err *err)
{
	int r = thread_seize(t, t->pid, err);

	TRY(r);
	if (r == 0)
		return gone(t, err);
	TRY(wait_stop(target_leader(t), err));
	return is_dead(target_leader(t)) ? gone(t, err) : 0;
}

/* Is any thread in vfork()? Then nobody is stopped at all. */
static bool has_vfork(const struct target *t)
{
	auto_ids struct proc_ids ids = {0};

	if (proc_list_dir(t->proc, "task", &ids) < 0)
		return false;
	vec_foreach (tid, &ids) {
		const struct target_thread probe = {.target = (struct target *)t, .tid = *tid};

		if (thread_in_vfork(&probe))
			return true;
	}
	return false;
}

static bool is_known(const struct target *t, pid_t tid)
{
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i]->tid == tid)
			return true;
	return false;
}

/* The threads that aren't seized yet; returns how many that were. */
static int stop_others(struct target *t, struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	size_t first = t->nthreads;
	int r = proc_list_dir(t->proc, "task", &ids);

	if (proc_is_gone(r))
		return gone(t, err);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): list its threads", t->pid, t->comm);
	vec_foreach (tid, &ids) {
		if (!is_known(t, *tid))
			TRY(thread_seize(t, *tid, err));
	}
	for (size_t i = first; i < t->nthreads; i++)
		TRY(wait_stop(t->threads[i], err));
	r = (int)(t->nthreads - first);
	target_drop_threads(t, is_dead);
	return r;
}

static int stop_all(struct target *t, struct err *err)
{
	for (int i = 0; i < ROUNDS_MAX; i++) {
		int r = stop_others(t, err);

		TRY(r);
		if (r == 0)
			return 0;
	}
	return err_refuse(err, "make a dump, which stops the whole tree",
			  "pid %d (%s): it makes threads faster than they can be stopped", t->pid,
			  t->comm);
}

static void let_go(struct target *t, int patience)
{
	for (size_t i = t->nthreads; i-- > 0;)
		thread_let_go(t->threads[i], patience);
	target_drop_threads(t, is_dead);
}

void task_let_go(struct target *t)
{
	if (t->nthreads)
		let_go(t, 0);
}

/*
 * Whoever is stopped waits for us: on a busy machine, mostly for a CPU that we have to wait for in
 * turn. The class ends with the process, should it die, and isn't inherited. No privilege: no
 * hurry.
 */
static void hurry(bool on)
{
	const struct sched_param first = {.sched_priority = on ? 1 : 0};

	(void)sched_setscheduler(0, on ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &first);
}

static bool is_ordinary(void)
{
	return sched_getscheduler(0) == SCHED_OTHER;
}

static void calm_down(struct target *t)
{
	if (t->borrow_hurry)
		hurry(false);
	t->borrow_hurry = false;
}

/* -EAGAIN without an error: some thread doesn't stop now. */
static int stop_now(struct target *t, struct err *err)
{
	int r;

	task_let_go(t); /* who was asked at the last attempt */
	if (t->nthreads || has_vfork(t))
		return -EAGAIN;
	t->borrow_hurry = is_ordinary();
	if (t->borrow_hurry)
		hurry(true);
	t->borrowed_us = clock_now_us();
	r = stop_leader(t, err);
	if (r >= 0)
		r = stop_all(t, err);
	if (r >= 0)
		r = thread_describe(target_leader(t), err);
	if (r < 0) {
		let_go(t, 5);
		calm_down(t);
	}
	return r;
}

int task_borrow(struct target *t, bool to_enter, struct err *err)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	int r = -EAGAIN;

	if (to_enter)
		remote_scout(t);
	for (int i = 0; i < ATTEMPTS && r == -EAGAIN && !err->code; i++) {
		if (i)
			nanosleep(&pause, NULL);
		r = stop_now(t, err);
	}
	if (r == -EAGAIN && !err->code)
		return err_refuse(err, "make a dump, which waits for them",
				  "pid %d (%s): not all of its threads stop (vfork?)", t->pid,
				  t->comm);
	return r;
}

int task_return(struct target *t, uint64_t *ret_us, struct err *err)
{
	int r = remote_leave_all(t, err);

	for (size_t i = 0; i < t->nthreads && !t->died; i++) {
		struct err why = ERR_INIT;

		if (t->threads[i]->seized &&
		    thread_resume(t->threads[i], RESUME_DETACH, 0, &why) < 0 && r >= 0) {
			*err = why;
			r = why.code;
		}
	}
	if (ret_us)
		*ret_us = clock_now_us() - t->borrowed_us;
	calm_down(t);
	target_drop_threads(t, NULL);
	return r;
}

void task_borrow_share(struct target **targets, size_t n)
{
	struct gadgets *g = gadgets_new();

	for (size_t i = 0; i < n; i++)
		if (!targets[i]->gadgets)
			targets[i]->gadgets = gadgets_ref(g);
	gadgets_unref(g);
}
