/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of one process into its images: a source, a sink, and a loop between them. */
#include "mem/dump.h"

#include "base/auto.h"
#include "base/log.h"
#include "image/pages.h"
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

static int pump(struct page_source *from, struct page_sink *to, struct mem_stats *stats,
		struct err *err)
{
	struct mem_run run;
	int r;

	while ((r = from->next(from, &run, err)) > 0) {
		stats->pages_scanned += run.npages;
		if (!(run.flags & PE_PRESENT))
			stats->pages_lazy += run.npages;
		TRY(to->take(to, &run, err));
	}
	TRY(r);
	return to->finish(to, err);
}

static int write_pages(struct pagemap_writer *w, struct target *t, const struct mem *m,
		       struct mem_stats *stats, struct err *err)
{
	struct page_source *from;
	struct page_sink *to;
	size_t n = m->vmas.len;
	int r;

	while (n && (m->vmas.data[n - 1].status & VMA_AREA_GUARD))
		n--;
	TRY(space_source_new(t, m->vmas.data, n, &(struct source_opts){0}, &from, err));
	to = image_sink_new(t, w);
	r = pump(from, to, stats, err);
	to->free(to);
	from->free(from);
	return r;
}

static int write_task(const struct img_dir *dir, struct target *t, const struct mem *m,
		      struct mem_stats *stats, struct err *err)
{
	struct pagemap_writer *w;
	uint64_t start = now_us(), written;

	if (!stats->next_pages_id)
		stats->next_pages_id = 1;
	TRY(pagemap_create(dir, IMG_PAGEMAP, (uint64_t)t->vpid, stats->next_pages_id++, &w, err));
	if (write_pages(w, t, m, stats, err) < 0) {
		pagemap_abort(w);
		return err->code;
	}
	written = pagemap_pages_written(w);
	TRY(pagemap_close(w, err));
	stats->pages_written += written;
	stats->write_us += now_us() - start;
	log_debug("pid %d: wrote %" PRIu64 " pages in %" PRIu64 " us", t->pid, written,
		  now_us() - start);
	return 0;
}

int mem_write_tree(const struct mem_dump_opts *o, struct mem_task *tasks, size_t n,
		   struct mem_stats *stats, bool *ret_cow, struct err *err)
{
	*ret_cow = false;
	for (size_t i = 0; i < n; i++)
		TRY(write_task(o->dir, tasks[i].target, tasks[i].mem, stats, err));
	return 0;
}
