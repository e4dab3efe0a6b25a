/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying from a program that doesn't stand still.
 *
 * Each stretch is first protected and then copied: what is written after the one is found by the
 * next round, whether the copy has the old bytes, the new ones or some of each. So nothing that
 * happens meanwhile can do harm:
 *
 *  - a page that is gone (munmap, MADV_DONTNEED, a file that got shorter) or can't be read is left
 *    out, exactly it; if there is one at its place later, it was written since or isn't in these
 *    images, and both make the next round copy it;
 *  - a mapping that moved, or a new one at its place, isn't under the tracker: all of it counts as
 *    written;
 *  - after execve() that goes for everything.
 *
 * One buffer is filled from many pieces (mem/peek.h), in a way that leaves shared pages shared.
 */
#include "mem/running.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "mem/peek.h"
#include "mem/running_cow.h"
#include "mem/source.h"
#include "remote/borrow.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define PAGE	  4096u
#define BUF_PAGES 64u /* stays in the CPU's cache between its filling and emptying */
/* Runs in a row that need no bytes, or few. */
#define QUEUE_LEN 512u

struct copier {
	const struct target *target;
	struct pagemap_writer *writer;
	struct mem_stats *stats;
	struct peeker peeker;
	uint8_t *buf;
	struct mem_run queue[QUEUE_LEN];
	size_t queued;
	size_t npages;			   /* in the queue, to be copied */
	struct peek_page pages[BUF_PAGES]; /* what is in the buffer */
	uint64_t lost;
	bool gone;
	struct running_cow *cow;
};

static bool is_copied(const struct mem_run *run)
{
	return run->flags & PE_PRESENT;
}

/* ---------------------------------------------------------------- reading */

static void read_queue(struct copier *c)
{
	size_t n = 0;

	for (size_t q = 0; q < c->queued; q++) {
		const struct mem_run *run = &c->queue[q];

		for (uint64_t k = 0; is_copied(run) && k < run->npages; k++)
			c->pages[n++] = (struct peek_page){.va = run->start + k * PAGE,
							   .readable = run->readable};
	}
	if (n && peek_pages(&c->peeker, c->pages, n, c->buf) < 0)
		c->gone = true;
}

/* ---------------------------------------------------------------- writing */

/* Pages [first, end) of the buffer, all there, into the image. `*fill`: bytes ready to go out. */
static int put_pages(struct copier *c, const struct mem_run *run, uint64_t va, size_t first,
		     size_t end, size_t *fill, uint64_t *start, struct err *err)
{
	const struct page_run entry = {
		.vaddr = va,
		.npages = end - first,
		.flags = run->flags,
		.huge = run->huge && end - first == run->npages,
	};
	uint64_t off;

	if (first == end)
		return 0;
	TRY(pagemap_add(c->writer, &entry, &off, err));
	if (!*fill)
		*start = off;
	memmove(c->buf + *fill, c->buf + first * PAGE, (end - first) * PAGE);
	*fill += (end - first) * PAGE;
	return 0;
}

/* The entries of one run; `first` is its first page in the buffer. */
static int put_run(struct copier *c, const struct mem_run *run, size_t first, size_t *fill,
		   uint64_t *start, struct err *err)
{
	size_t end = first + run->npages, from = first;

	for (size_t i = first; i < end; i++) {
		if (c->pages[i].got)
			continue;
		TRY(put_pages(c, run, run->start + (from - first) * PAGE, from, i, fill, start,
			      err));
		from = i + 1;
		c->lost++;
	}
	return put_pages(c, run, run->start + (from - first) * PAGE, from, end, fill, start, err);
}

static int write_buffer(struct copier *c, size_t len, uint64_t off, struct err *err)
{
	const struct target *t = c->target;
	int fd, r;

	if (!len)
		return 0;
	fd = pagemap_pages_fd(c->writer, err);
	TRY(fd);
	r = io_pwrite_full(fd, c->buf, len, off);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): writing %zu bytes of pages", t->pid, t->comm,
			       len);
	pagemap_wrote(c->writer, off, len);
	return 0;
}

static int flush(struct copier *c, struct err *err)
{
	size_t at = 0, fill = 0;
	uint64_t start = 0;

	read_queue(c);
	for (size_t q = 0; q < c->queued; q++) {
		const struct mem_run *run = &c->queue[q];
		const struct page_run entry = run_record(run);
		uint64_t unused;

		if (is_copied(run)) {
			TRY(put_run(c, run, at, &fill, &start, err));
			at += run->npages;
		} else {
			TRY(pagemap_add(c->writer, &entry, &unused, err));
			if (run->flags & PE_PARENT)
				c->stats->pages_skipped_parent += run->npages;
		}
	}
	c->queued = c->npages = 0;
	return write_buffer(c, fill, start, err);
}

/* Queues a run, in pieces that fit the buffer. */
static int take(struct copier *c, const struct mem_run *run, struct err *err)
{
	struct mem_run piece = *run;

	if (!(run->flags & PE_COW)) /* that was counted there */
		c->stats->pages_scanned += run->npages;
	for (uint64_t left = run->npages; left && !c->gone; left -= piece.npages) {
		if (c->queued == QUEUE_LEN || c->npages == BUF_PAGES)
			TRY(flush(c, err));
		piece.npages = is_copied(run) ? MIN(left, BUF_PAGES - c->npages) : left;
		c->queue[c->queued++] = piece;
		if (is_copied(run))
			c->npages += piece.npages;
		piece.start += piece.npages * PAGE;
	}
	return 0;
}

/* The same for a run of which some pages may be another task's as well. */
static int take_shared(struct copier *c, const struct mem_run *run, struct err *err)
{
	struct mem_run left = *run;

	while (left.npages && !c->gone) {
		struct mem_run piece = running_cow_split(c->cow, &left);

		TRY(take(c, &piece, err));
	}
	return 0;
}

static int pump(struct copier *c, struct page_source *from, struct err *err)
{
	struct mem_run run;
	int r;

	while (!c->gone && (r = from->next(from, &run, err)) > 0)
		TRY(is_copied(&run) ? take_shared(c, &run, err) : take(c, &run, err));
	if (c->gone)
		return 0;
	TRY(r);
	return flush(c, err);
}

/* ------------------------------------------------------------- one process */

static int copy_space(struct copier *c, const struct vma *vmas, size_t n,
		      const struct source_opts *so, struct err *err)
{
	struct page_source *from;
	int r;

	TRY(space_source_new(c->target, vmas, n, so, &from, err));
	r = pump(c, from, err);
	from->free(from);
	return r;
}

/*
 * A tracker that can't look and restart in one step: what was written is noted while the process
 * stands still, and copied later. A list that gets too long is cut, and all behind it is copied.
 */
#define NOTES_MAX (128u * 1024)

struct notes {
	VEC(struct mem_run) runs;
	uint64_t rest; /* all from here on has to be copied */
};

static int take_notes(struct copier *c, const vma_vec *vmas, const struct source_opts *so,
		      struct notes *notes, struct err *err)
{
	struct page_source *from;
	struct mem_run run;
	int r;

	notes->rest = UINT64_MAX;
	TRY(space_source_new(c->target, vmas->data, vmas->len, so, &from, err));
	while ((r = from->next(from, &run, err)) > 0) {
		if (notes->runs.len == NOTES_MAX) {
			notes->rest = run.start;
			r = 0;
			break;
		}
		*vec_push(&notes->runs) = run;
	}
	from->free(from);
	return r;
}

static int copy_notes(struct copier *c, const vma_vec *vmas, const struct notes *notes,
		      struct err *err)
{
	vec_foreach (run, &notes->runs)
		TRY(is_copied(run) ? take_shared(c, run, err) : take(c, run, err));
	vec_foreach (v, vmas) {
		struct vma rest = *v;

		rest.start = MAX(v->start, notes->rest);
		if (rest.start < rest.end)
			TRY(copy_space(c, &rest, 1, &(struct source_opts){0}, err));
	}
	return flush(c, err);
}

/* Borrowed: notes what was written and restarts the tracker. */
static int note_and_restart(struct copier *c, struct tracker *tr, const vma_vec *vmas,
			    uint8_t *states, const struct source_opts *so, struct notes *notes,
			    struct err *err)
{
	TRY(tracker_arm(tr, vmas->data, vmas->len, states, err));
	TRY(take_notes(c, vmas, so, notes, err));
	return tracker_restart(tr, err);
}

static int copy_stopping(struct copier *c, struct target *t, struct tracker *tr,
			 const vma_vec *vmas, uint8_t *states, const struct source_opts *so,
			 uint64_t *stopped_us, struct err *err)
{
	struct notes notes = {0};
	struct err why = ERR_INIT;
	int r = task_borrow(t, /* to_enter= */ false, &why);

	if (r < 0 && why.kind != ERR_GONE) {
		/* Its tracker goes on from where it was: what was unwritten then, is now. */
		log_warn("pid %d (%s): all of its memory is copied: %s", t->pid, t->comm, why.text);
		return copy_space(c, vmas->data, vmas->len, &(struct source_opts){0}, err);
	}
	if (r < 0)
		return err_gone(err, "%s", why.text);
	r = note_and_restart(c, tr, vmas, states, so, &notes, err);
	if (task_return(t, stopped_us, &why) < 0 && r >= 0) {
		*err = why;
		r = why.code;
	}
	if (r >= 0)
		r = copy_notes(c, vmas, &notes, err);
	vec_done(&notes.runs);
	return r;
}

struct copy_job {
	const struct running_opts *o;
	size_t task;
	struct target *target;
	struct tracker *tracker;
	const vma_vec *vmas;
	uint8_t *states;
	struct mem_stats *stats;
	uint64_t *stopped_us;
};

static int copy_all(const struct copy_job *j, struct copier *c, const struct source_opts *so,
		    struct err *err)
{
	if (so->tracker == TRACKER_SOFT_DIRTY)
		return copy_stopping(c, j->target, j->tracker, j->vmas, j->states, so,
				     j->stopped_us, err);
	return copy_space(c, j->vmas->data, j->vmas->len, so, err);
}

static int copy(const struct copy_job *j, const struct source_opts *so, struct pagemap_writer *w,
		struct err *err)
{
	const struct target *t = j->target;
	auto_free struct copier *c = xcalloc(1, sizeof(*c));
	auto_free uint8_t *buf = xcalloc(BUF_PAGES, PAGE);
	auto_peeker struct peeker peeker;
	struct running_cow cow;
	struct err why = ERR_INIT;
	int r;

	running_cow_init(&cow, j->o, j->task);
	c->cow = &cow;
	c->target = t;
	c->writer = w;
	c->stats = j->stats;
	peeker_open(&peeker, t);
	c->peeker = peeker;
	c->buf = buf;
	r = copy_all(j, c, so, &why);
	running_cow_done(&cow);
	if (r < 0 && why.kind != ERR_GONE) {
		*err = why;
		return r;
	}
	if (r < 0 || c->gone)
		log_info("pid %d (%s): ended meanwhile", t->pid, t->comm);
	if (c->lost)
		log_debug("pid %d (%s): %" PRIu64 " pages went away before they were copied",
			  t->pid, t->comm, c->lost);
	return 0;
}

static int write_images(const struct copy_job *j, const struct source_opts *so, struct err *err)
{
	const struct target *t = j->target;
	struct mem_stats *stats = j->stats;
	struct pagemap_writer *w;
	uint64_t start = clock_now_us(), written;

	TRY(pagemap_create(j->o->dir, IMG_PAGEMAP, (uint64_t)t->vpid, stats->next_pages_id++, &w,
			   err));
	if (copy(j, so, w, err) < 0) {
		pagemap_abort(w);
		return err->code;
	}
	written = pagemap_pages_written(w);
	TRY(pagemap_close(w, err));
	stats->pages_written += written;
	stats->write_us += clock_now_us() - start;
	log_debug("pid %d: copied %" PRIu64 " pages in %" PRIu64 " us", t->pid, written,
		  clock_now_us() - start);
	return 0;
}

int running_write(const struct running_opts *o, size_t task, struct tracker *tracker,
		  const vma_vec *vmas, struct mem_stats *stats, uint64_t *stopped_us,
		  struct err *err)
{
	auto_free uint8_t *states = xcalloc(vmas->len + 1, 1);
	struct source_opts so = {.states = states, .restart = true};
	struct target *t = o->tasks[task];
	const struct copy_job j = {o, task, t, tracker, vmas, states, stats, stopped_us};
	int r;

	if (tracker) {
		so.tracker = tracker->kind;
		if (so.tracker != TRACKER_SOFT_DIRTY) /* that one when it stands still */
			TRY(tracker_arm(tracker, vmas->data, vmas->len, states, err));
	}
	if (o->parent)
		TRY(page_store_map(o->parent, IMG_PAGEMAP, (uint64_t)t->vpid, /* optional= */ true,
				   &so.parent, err));
	r = write_images(&j, &so, err);
	page_map_drop(so.parent);
	return r;
}
