/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of a frozen tree into its images, several tasks at a time.
 *
 * Each task is first a job for a pool of threads: what is little is read from outside there, which
 * takes no ptrace. A task with more than that comes back to this thread, the one that traces, and
 * writes its pages itself; as its system calls take their time, some tasks are in one at once.
 */
#include "mem/dump.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/pool.h"
#include "mem/cow.h"
#include "mem/stream.h"

#include <inttypes.h>
#include <pthread.h>
#include <time.h>

/* Tasks that write by themselves at a time, whatever the number of CPUs. */
#define RUNNING_MAX 8
/* Tasks that are begun and not done: each holds some tens of KiB, and up to 8 descriptors. */
#define OPEN_MAX  64
#define TASK_FDS  8
#define SPARE_FDS 64 /* for checksums, and other images */
#define BUFS_MAX  16

struct task_write {
	struct writing *w;
	struct stream_opts opts;
	uint8_t *states; /* of the tracker */
	struct stream *stream;
	bool outside_only; /* it can't write by itself */
	struct mem_stats counted;
	struct task_write *next; /* in the list of those that came back */
};

struct writing {
	const struct mem_dump_opts *o;
	struct mem_task *tasks;
	size_t n;
	struct task_write *writes; /* one for each task */
	struct cow_map *cow;	   /* NULL: nothing is shared */
	uint32_t *vpids;	   /* of all tasks */
	const struct target **targets;
	struct mem_stats *stats;
	struct outside *buf; /* this thread's */
	struct pool *pool;   /* NULL for a single task */

	struct task_write *running[RUNNING_MAX]; /* a ring: the oldest at `oldest` */
	size_t oldest, nrunning, max_running, max_open;
	size_t added; /* tasks that were begun */

	pthread_mutex_t lock; /* of the rest: */
	pthread_cond_t news;
	size_t jobs;		 /* with the pool */
	struct task_write *back; /* came back from there */
	size_t nback;
	struct outside *bufs[BUFS_MAX]; /* not in use */
	size_t nbufs;
	bool failed; /* no job needs to do anything any more */
};

static size_t real_vmas(const struct mem *m)
{
	size_t n = m->vmas.len;

	while (n && (m->vmas.data[n - 1].status & VMA_AREA_GUARD))
		n--;
	return n;
}

/* ---------------------------------------------------------------- sharing */

static void find_cow(struct writing *w)
{
	auto_free struct cow_task *tasks = xcalloc(w->n, sizeof(*tasks));
	uint64_t start = clock_now_us();

	if (!w->o->cow || w->n < 2)
		return;
	w->vpids = xcalloc(w->n, sizeof(*w->vpids));
	w->targets = xcalloc(w->n, sizeof(*w->targets));
	for (size_t i = 0; i < w->n; i++) {
		const struct mem *m = w->tasks[i].mem;

		tasks[i] = (struct cow_task){w->tasks[i].target, m->vmas.data, real_vmas(m)};
		w->vpids[i] = (uint32_t)w->tasks[i].target->vpid;
		w->targets[i] = w->tasks[i].target;
	}
	w->cow = cow_find(tasks, w->n);
	log_debug("looked for shared pages: %" PRIu64 " us", clock_now_us() - start);
}

/* --------------------------------------------------------------- one task */

/* The kernel pins what it writes past the cache, and takes pages apart that tasks share. */
static enum direct_use direct_use(const struct writing *w)
{
	if (w->cow)
		return DIRECT_NEVER;
	return w->o->direct_always ? DIRECT_ALWAYS : DIRECT_WHERE_IT_PAYS;
}

static int track_states(struct tracker *tr, struct task_write *t, struct err *err)
{
	const struct stream_opts *o = &t->opts;

	if (!tr || tr->kind == TRACKER_NONE)
		return 0;
	t->states = xcalloc(o->nvmas, sizeof(*t->states));
	TRY(tracker_arm(tr, o->vmas, o->nvmas, t->states, err));
	for (size_t i = 0; tr->is_new && i < o->nvmas; i++)
		if (t->states[i] == TRACK_ON)
			t->states[i] = TRACK_NEW;
	t->opts.source.tracker = tr->kind;
	t->opts.source.states = t->states;
	return 0;
}

static int prepare(struct writing *w, size_t i, struct err *err)
{
	const struct mem_task *task = &w->tasks[i];
	struct task_write *t = &w->writes[i];

	t->w = w;
	t->opts = (struct stream_opts){
		.dir = w->o->dir,
		.pages_id = w->stats->next_pages_id++,
		.target = task->target,
		.vmas = task->mem->vmas.data,
		.nvmas = real_vmas(task->mem),
		.source.restart = w->o->restart,
		.shared = cow_map_runs(w->cow, i),
		.direct = direct_use(w),
		.peers = {.self = task->target, .targets = w->targets, .vpids = w->vpids},
	};
	TRY(track_states(task->tracker, t, err));
	if (!w->o->parent)
		return 0;
	return page_store_map(w->o->parent, IMG_PAGEMAP, (uint64_t)task->target->vpid,
			      /* optional= */ true, &t->opts.source.parent, err);
}

/* ------------------------------------------------------- in other threads */

/* NULL: there is nothing to be done any more. */
static struct outside *take_buf(struct writing *w)
{
	struct outside *o = NULL;
	bool failed;

	pthread_mutex_lock(&w->lock);
	failed = w->failed;
	if (w->nbufs && !failed)
		o = w->bufs[--w->nbufs];
	pthread_mutex_unlock(&w->lock);
	return o || failed ? o : outside_new();
}

static int end_task(struct task_write *t, struct err *err)
{
	int r = stream_close(TAKE_PTR(t->stream), &t->counted, err);

	page_map_drop(t->opts.source.parent);
	return r;
}

/* 1: the target should do it; 0: done. */
static int copy_task(struct task_write *t, struct outside *buf, struct err *err)
{
	int r;

	if (!t->stream)
		TRY(stream_open(&t->opts, &t->stream, err));
	r = stream_copy(t->stream, t->outside_only, buf, err);
	return r ? r : end_task(t, err);
}

static int job(void *arg, struct err *err)
{
	struct task_write *t = arg;
	struct writing *w = t->w;
	struct outside *buf = take_buf(w);
	int r = buf ? copy_task(t, buf, err) : 0;

	pthread_mutex_lock(&w->lock);
	if (buf && w->nbufs < BUFS_MAX)
		w->bufs[w->nbufs++] = TAKE_PTR(buf);
	if (r > 0) {
		t->next = w->back;
		w->back = t;
		w->nback++;
	}
	w->failed |= r < 0;
	w->jobs--;
	pthread_cond_signal(&w->news);
	pthread_mutex_unlock(&w->lock);
	outside_free(buf);
	return MIN(r, 0);
}

static int add_job(struct writing *w, struct task_write *t, struct err *err)
{
	pthread_mutex_lock(&w->lock);
	w->jobs++;
	pthread_mutex_unlock(&w->lock);
	if (!w->pool)
		return job(t, err);
	pool_add(w->pool, job, t);
	return 0;
}

/* -------------------------------------------------- those that write alone */

/* One more batch of it, or its end. */
static int go_on(struct writing *w, struct task_write *t, struct err *err)
{
	int r = stream_start(t->stream, w->buf, err);

	TRY(r);
	if (r == 0)
		return end_task(t, err);
	w->running[(w->oldest + w->nrunning++) % RUNNING_MAX] = t;
	return 0;
}

static int begin(struct writing *w, struct task_write *t, struct err *err)
{
	int r = stream_lend(t->stream, err);

	TRY(r);
	if (r > 0)
		return go_on(w, t, err);
	t->outside_only = true;
	return add_job(w, t, err);
}

static int await_oldest(struct writing *w, struct err *err)
{
	struct task_write *t = w->running[w->oldest];

	w->oldest = (w->oldest + 1) % RUNNING_MAX;
	w->nrunning--;
	TRY(stream_wait(t->stream, w->buf, err));
	return go_on(w, t, err);
}

/* ---------------------------------------------------------------- all tasks */

struct todo {
	size_t room;		 /* for so many tasks to be begun */
	struct task_write *back; /* is to write by itself */
	bool failed, idle;	 /* idle: nothing is with the pool */
};

/* Waits for the pool if there is nothing else to do. */
static void what_next(struct writing *w, struct todo *ret)
{
	size_t open;

	pthread_mutex_lock(&w->lock);
	while (!w->failed && !w->back && !w->nrunning && w->jobs &&
	       (w->added == w->n || w->jobs > w->max_open / 2))
		pthread_cond_wait(&w->news, &w->lock);
	open = w->jobs + w->nback + w->nrunning;
	*ret = (struct todo){
		.room = open < w->max_open ? w->max_open - open : 0,
		.failed = w->failed,
		.idle = !w->jobs && !w->back,
	};
	if (w->back && w->nrunning < w->max_running) {
		ret->back = w->back;
		w->back = w->back->next;
		w->nback--;
	}
	pthread_mutex_unlock(&w->lock);
}

/* 1 as long as there is something left to do. */
static int step(struct writing *w, struct err *err)
{
	struct todo todo;

	what_next(w, &todo);
	if (todo.failed)
		return 0; /* the pool says why */
	for (size_t i = 0; i < todo.room && w->added < w->n; i++) {
		TRY(prepare(w, w->added, err));
		TRY(add_job(w, &w->writes[w->added++], err));
		todo.idle = false;
	}
	if (todo.back)
		TRY(begin(w, todo.back, err));
	else if (w->nrunning)
		TRY(await_oldest(w, err));
	else if (todo.idle)
		return 0;
	return 1;
}

static int write_all(struct writing *w, struct err *err)
{
	struct err other = ERR_INIT;
	int r;

	do
		r = step(w, err);
	while (r > 0);
	if (r < 0) {
		pthread_mutex_lock(&w->lock);
		w->failed = true;
		pthread_mutex_unlock(&w->lock);
	}
	if (w->pool && pool_wait(w->pool, &other) < 0 && r == 0) {
		*err = other;
		r = other.code;
	}
	return r;
}

/* Only if all pages are written: what is written after them is the next round's. */
static int restart_trackers(struct writing *w, struct err *err)
{
	for (size_t i = 0; w->o->restart && i < w->n; i++)
		if (w->tasks[i].tracker)
			TRY(tracker_restart(w->tasks[i].tracker, err));
	return 0;
}

static void add_up(struct writing *w)
{
	struct mem_stats *stats = w->stats;

	for (size_t i = 0; i < w->n; i++) {
		const struct mem_stats *one = &w->writes[i].counted;

		stats->pages_scanned += one->pages_scanned;
		stats->pages_written += one->pages_written;
		stats->pages_lazy += one->pages_lazy;
		stats->pages_skipped_parent += one->pages_skipped_parent;
		stats->direct_bytes += one->direct_bytes;
	}
	if (stats->direct_bytes)
		log_info("%" PRIu64 " bytes of pages were written past the page cache",
			 stats->direct_bytes);
}

static size_t max_open(void)
{
	uint64_t fds = fd_limit_left();

	return fds < SPARE_FDS + TASK_FDS ? 1 : MIN((fds - SPARE_FDS) / TASK_FDS, OPEN_MAX);
}

static void writing_init(struct writing *w)
{
	w->max_open = max_open();
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->news, NULL);
	w->writes = xcalloc(w->n, sizeof(*w->writes));
	w->buf = outside_new();
	w->pool = w->n > 1 ? pool_new(0) : NULL;
	/* One more than there are CPUs: one is always ready to run. */
	w->max_running = w->pool ? MIN(pool_threads(w->pool) + 1, RUNNING_MAX) : 1;
}

static void writing_done(struct writing *w)
{
	pool_free(w->pool);
	for (size_t i = 0; i < w->n; i++) {
		stream_abort(w->writes[i].stream);
		free(w->writes[i].states);
	}
	while (w->nbufs)
		outside_free(w->bufs[--w->nbufs]);
	outside_free(w->buf);
	free(w->writes);
	cow_map_free(w->cow);
	free(w->vpids);
	free(w->targets);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->news);
}

int mem_write_tree(const struct mem_dump_opts *o, struct mem_task *tasks, size_t n,
		   struct mem_stats *stats, bool *ret_cow, struct err *err)
{
	struct writing w = {.o = o, .tasks = tasks, .n = n, .stats = stats};
	uint64_t start;
	int r;

	if (!stats->next_pages_id)
		stats->next_pages_id = 1;
	writing_init(&w);
	find_cow(&w);
	start = clock_now_us();
	r = write_all(&w, err);
	if (r == 0)
		r = restart_trackers(&w, err);
	add_up(&w);
	stats->write_us += clock_now_us() - start;
	*ret_cow = w.cow;
	writing_done(&w);
	return r;
}
