/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of one process into its images: a source, a sink, and a loop between them. */
#include "mem/dump.h"

#include "base/auto.h"
#include "base/log.h"
#include "image/pages.h"
#include "mem/cow.h"
#include "mem/sink.h"
#include "mem/source.h"

#include <inttypes.h>
#include <time.h>

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* What is the same for all tasks. */
struct writing {
	const struct mem_dump_opts *o;
	struct mem_task *tasks;
	size_t n;
	struct cow_map *cow; /* NULL: nothing is shared */
	uint32_t *vpids;     /* of all tasks */
	struct mem_stats *stats;
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
	uint64_t start = now_us();

	w->vpids = xcalloc(w->n, sizeof(*w->vpids));
	for (size_t i = 0; i < w->n; i++) {
		const struct mem *m = w->tasks[i].mem;

		tasks[i] = (struct cow_task){w->tasks[i].target, m->vmas.data, real_vmas(m)};
		w->vpids[i] = (uint32_t)w->tasks[i].target->vpid;
	}
	w->cow = cow_find(tasks, w->n);
	log_debug("looked for shared pages: %" PRIu64 " us", now_us() - start);
}

/* ----------------------------------------------------------------- source */

/* What is known of one task's pages. */
struct task_source {
	struct page_source *pages;
	uint8_t *states;
};

static int track_states(const struct mem_task *t, size_t nvmas, struct task_source *s,
			struct source_opts *so, struct err *err)
{
	struct tracker *tr = t->tracker;

	if (!tr || tr->kind == TRACKER_NONE)
		return 0;
	so->tracker = tr->kind;
	so->states = s->states = xcalloc(nvmas, sizeof(*s->states));
	TRY(tracker_arm(tr, t->mem->vmas.data, nvmas, s->states, err));
	for (size_t i = 0; tr->is_new && i < nvmas; i++)
		if (s->states[i] == TRACK_ON)
			s->states[i] = TRACK_NEW;
	return 0;
}

static void source_done(struct task_source *s)
{
	if (s->pages)
		s->pages->free(s->pages);
	free(s->states);
	*s = (struct task_source){0};
}

static int source_init(const struct writing *w, size_t task, struct task_source *s, struct err *err)
{
	const struct mem_task *t = &w->tasks[task];
	const cow_run_vec *shared = cow_map_runs(w->cow, task);
	struct source_opts so = {.restart = w->o->restart};
	size_t n = real_vmas(t->mem);

	*s = (struct task_source){0};
	TRY(track_states(t, n, s, &so, err));
	if (w->o->parent)
		TRY(page_store_map(w->o->parent, IMG_PAGEMAP, (uint64_t)t->target->vpid,
				   /* optional= */ true, &so.parent, err));
	TRY(space_source_new(t->target, t->mem->vmas.data, n, &so, &s->pages, err));
	if (shared->len)
		s->pages = cow_source_new(s->pages, shared, w->vpids);
	return 0;
}

/* ---------------------------------------------------------------- writing */

/* A page that an earlier task has was counted there. */
static void count(struct mem_stats *stats, const struct mem_run *run)
{
	if (run->flags & PE_COW)
		return;
	stats->pages_scanned += run->npages;
	if (run->flags & PE_PARENT)
		stats->pages_skipped_parent += run->npages;
	else if (!(run->flags & PE_PRESENT))
		stats->pages_lazy += run->npages;
}

static int pump(struct page_source *from, struct page_sink *to, struct mem_stats *stats,
		struct err *err)
{
	struct mem_run run;
	int r;

	while ((r = from->next(from, &run, err)) > 0) {
		count(stats, &run);
		TRY(to->take(to, &run, err));
	}
	TRY(r);
	return to->finish(to, err);
}

static int write_pages(const struct writing *w, size_t task, struct pagemap_writer *pw,
		       struct err *err)
{
	struct task_source from;
	struct page_sink *to;
	int r = source_init(w, task, &from, err);

	if (r == 0) {
		to = image_sink_new(w->tasks[task].target, pw);
		r = pump(from.pages, to, w->stats, err);
		to->free(to);
	}
	source_done(&from);
	if (r == 0 && w->o->restart && w->tasks[task].tracker)
		r = tracker_restart(w->tasks[task].tracker, err);
	return r;
}

static int write_task(const struct writing *w, size_t task, struct err *err)
{
	struct mem_stats *stats = w->stats;
	const struct target *t = w->tasks[task].target;
	struct pagemap_writer *pw;
	uint64_t start = now_us(), written;

	if (!stats->next_pages_id)
		stats->next_pages_id = 1;
	TRY(pagemap_create(w->o->dir, IMG_PAGEMAP, (uint64_t)t->vpid, stats->next_pages_id++, &pw,
			   err));
	if (write_pages(w, task, pw, err) < 0) {
		pagemap_abort(pw);
		return err->code;
	}
	written = pagemap_pages_written(pw);
	TRY(pagemap_close(pw, err));
	stats->pages_written += written;
	stats->write_us += now_us() - start;
	log_debug("pid %d: wrote %" PRIu64 " pages in %" PRIu64 " us", t->pid, written,
		  now_us() - start);
	return 0;
}

int mem_write_tree(const struct mem_dump_opts *o, struct mem_task *tasks, size_t n,
		   struct mem_stats *stats, bool *ret_cow, struct err *err)
{
	struct writing w = {.o = o, .tasks = tasks, .n = n, .stats = stats};
	int r = 0;

	if (o->cow && n > 1)
		find_cow(&w);
	for (size_t i = 0; i < n && r == 0; i++)
		r = write_task(&w, i, err);
	*ret_cow = w.cow;
	cow_map_free(w.cow);
	free(w.vpids);
	return r;
}
