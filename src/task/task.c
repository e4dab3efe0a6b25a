/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dump of a process and its threads: one record each, core-<vtid>.img, and the filters that all
 * share, seccomp.img.
 *
 * Per thread: one remote batch with the questions that only it can answer, one read of its status
 * file, some ptrace requests. The records of a process are kept until all its threads are read,
 * because what they have in common is written once.
 */
#include "task/part.h"

#include "base/io.h"
#include "base/log.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/seccomp.pb-c.h"
#include "kernel/proc.h"
#include "task/arch/core.h"
#include "task/seccomp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define OWN_CG_SET 1 /* tasks are restored into torpor's own cgroups */

struct tasks *tasks_new(const struct img_dir *dir, struct arena *a)
{
	struct tasks *ts = arena_new_of(a, struct tasks);
	auto_free char *label = NULL;

	ts->dir = dir;
	ts->a = a;
	ts->cpu = arch_cpu_new(a);
	ts->seccomp = arena_new_of(a, SeccompEntry);
	seccomp_entry__init(ts->seccomp);
	ts->has_lsm = io_read_file(-1, "/proc/self/attr/current", &label, NULL) == 0;
	return ts;
}

/* Says whose error it is, unless it is said already. */
static int task_err(const struct target *t, struct err *err)
{
	if (strncmp(err->text, "pid ", 4) == 0)
		return err->code;
	return err_in(err, "pid %d (%s)", t->pid, t->comm);
}

int task_check(struct tasks *ts, struct target *t, struct err *err)
{
	for (size_t i = 0; task_parts[i]; i++)
		if (task_parts[i]->check && t->state != TARGET_ZOMBIE &&
		    task_parts[i]->check(t, err) < 0)
			return task_err(t, err);
	return 0;
}

static int zombie_dump(struct tasks *ts, struct target *t, struct err *err)
{
	CoreEntry core = CORE_ENTRY__INIT;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;

	/* Nothing else is left of it: the other required fields are 0. */
	tc.task_state = RTASK_DEAD;
	tc.exit_code = (uint32_t)t->exit_status;
	tc.comm = t->comm;
	core.mtype = CORE_ENTRY__MARCH__X86_64;
	core.tc = &tc;
	return img_write_one(ts->dir, IMG_CORE, (uint64_t)t->vpid, &core.base, err);
}

static void dthread_init(struct dthread *d, struct tasks *ts, struct arena *a,
			 struct target_thread *th)
{
	*d = (struct dthread){.ts = ts, .t = th->target, .th = th, .a = a};
	d->leader = th == target_leader(th->target);
	d->core = arena_new_of(d->a, CoreEntry);
	core_entry__init(d->core);
	d->core->thread_core = d->thread = arena_new_of(d->a, ThreadCoreEntry);
	thread_core_entry__init(d->thread);
	d->thread->has_cg_set = 1;
	d->thread->cg_set = OWN_CG_SET;
	if (!d->leader)
		return;
	d->core->tc = d->tc = arena_new_of(d->a, TaskCoreEntry);
	task_core_entry__init(d->tc);
}

static int thread_status(struct dthread *d, char **ret, struct err *err)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "task/%d/status", d->th->tid);
	r = io_read_file(d->t->proc, path, ret, NULL);
	if (proc_is_gone(r))
		return err_gone(err, "thread %d died", d->th->tid);
	if (r < 0)
		return err_sys(err, r, "read /proc/%d/%s", d->t->pid, path);
	d->status = *ret;
	return 0;
}

static bool part_is_for(const struct task_part *p, bool leader)
{
	return leader || !p->leader_only;
}

/* The thread is entered. */
static int thread_ask(struct dthread *d, struct err *err)
{
	for (size_t i = 0; task_parts[i]; i++)
		if (task_parts[i]->ask && part_is_for(task_parts[i], d->leader))
			TRY(task_parts[i]->ask(d, err));
	TRY(batch_run(d->b, err));
	return batch_expect_all(d->b, err);
}

static int thread_take(struct dthread *d, struct err *err)
{
	for (size_t i = 0; task_parts[i]; i++)
		if (task_parts[i]->take && part_is_for(task_parts[i], d->leader))
			TRY(task_parts[i]->take(d, err));
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/*
 * Timers run on while the process is frozen. One that expires after it was read and before the
 * pending signals are read would be recorded twice, as a timer to come and as its signal: 1 then.
 */
static int thread_read(struct dthread *d, struct err *err)
{
	auto_free char *status = NULL;
	auto_batch struct batch *b = NULL;
	uint64_t start = now_ns();

	d->asked = (struct asked){.soonest_ns = UINT64_MAX};
	TRY(thread_status(d, &status, err));
	d->b = b = batch_new(d->th);
	TRY(thread_ask(d, err));
	TRY(thread_take(d, err));
	d->status = NULL;
	d->b = NULL;
	return d->asked.soonest_ns <= now_ns() - start;
}

#define TIMER_TRIES 10 /* one with an interval as short as a reading takes never lets us finish */

static int thread_dump(struct dthread *d, struct err *err)
{
	struct target_thread *th = d->th;
	int r = 1;

	TRY(remote_enter(th, err));
	for (int i = 0; i < TIMER_TRIES && r > 0; i++) {
		dthread_init(d, d->ts, d->a, th);
		r = thread_read(d, err);
		TRY(r);
	}
	return d->leader ? 0 : remote_leave(th, err);
}

/* What target_open and tree_seize know already, and the flags. */
static int leader_fill(struct dthread *d, struct err *err)
{
	struct proc_stat st;
	int r = proc_read_stat(d->t->proc, "stat", &st);

	if (r < 0)
		return err_sys(err, r, "read /proc/%d/stat", d->t->pid);
	d->tc->flags = st.flags;
	d->tc->task_state = RTASK_ALIVE;
	if (d->t->state == TARGET_STOPPED) {
		d->tc->task_state = RTASK_STOPPED;
		d->tc->has_stop_signo = 1;
		d->tc->stop_signo = (uint32_t)d->t->stop_signo;
		d->tc->has_stop_untold = d->tc->stop_untold = d->t->stop_untold;
	}
	return 0;
}

static int process_dump(struct tasks *ts, struct target *t, struct arena *a,
			struct dthread *threads, struct err *err)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		threads[i] = (struct dthread){.ts = ts, .a = a, .th = t->threads[i]};
		TRY(thread_dump(&threads[i], err));
	}
	TRY(leader_fill(&threads[0], err));
	seccomp_settle(threads, t->nthreads);
	for (size_t i = 0; i < t->nthreads; i++)
		TRY(img_write_one(ts->dir, IMG_CORE, (uint64_t)t->threads[i]->vtid,
				  &threads[i].core->base, err));
	return 0;
}

int task_dump(struct tasks *ts, struct target *t, struct err *err)
{
	auto_free struct dthread *threads = NULL;
	struct arena *a;
	int r;

	if (t->state == TARGET_ZOMBIE)
		return zombie_dump(ts, t, err);
	log_debug("pid %d (%s): recording %zu threads", t->pid, t->comm, t->nthreads);
	threads = xcalloc(t->nthreads, sizeof(*threads));
	a = arena_new(); /* a tree may have many tasks: records are gone when they are written */
	r = process_dump(ts, t, a, threads, err);
	arena_free(a);
	return r < 0 ? task_err(t, err) : 0;
}

int tasks_finish(struct tasks *ts, struct err *err)
{
	return seccomp_write(ts, err);
}
