/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/stream.h"

#include "base/auto.h"
#include "base/log.h"
#include "mem/sink.h"

#include <inttypes.h>

struct stream {
	const struct target *target;
	struct page_source *from;
	struct image_sink *to;
	struct pagemap_writer *writer;
	bool at_end; /* of the source */
	struct mem_stats counted;
};

int stream_open(const struct stream_opts *o, struct stream **ret, struct err *err)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	int r;

	s->target = o->target;
	r = space_source_new(o->target, o->vmas, o->nvmas, &o->source, &s->from, err);
	if (r == 0)
		r = pagemap_create(o->dir, IMG_PAGEMAP, (uint64_t)o->target->vpid, o->pages_id,
				   &s->writer, err);
	if (r < 0) {
		stream_abort(s);
		return r;
	}
	if (o->shared->len)
		s->from = cow_source_new(s->from, o->shared, &o->peers);
	s->to = image_sink_new(o->target, s->writer, o->direct);
	*ret = s;
	return 0;
}

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

/* Until so many bytes are queued, or the source is at its end. */
static int fill_queue(struct stream *s, uint64_t bytes, struct err *err)
{
	struct mem_run run;

	while (!s->at_end && image_sink_queued(s->to) < bytes) {
		int r = s->from->next(s->from, &run, err);

		TRY(r);
		s->at_end = r == 0;
		if (r == 0)
			break;
		count(&s->counted, &run);
		TRY(image_sink_take(s->to, &run, err));
	}
	return 0;
}

int stream_copy(struct stream *s, bool all, struct outside *o, struct err *err)
{
	do {
		TRY(fill_queue(s, SINK_LEND_BYTES, err));
		if (!all && image_sink_queued(s->to) >= SINK_LEND_BYTES)
			return 1;
		TRY(image_sink_copy(s->to, o, err));
	} while (!s->at_end);
	return 0;
}

int stream_lend(struct stream *s, struct err *err)
{
	return image_sink_lend(s->to, err);
}

int stream_start(struct stream *s, struct outside *o, struct err *err)
{
	int r;

	do {
		TRY(fill_queue(s, SINK_BATCH_BYTES, err));
		r = image_sink_start(s->to, o, err);
	} while (r == 0 && !s->at_end);
	TRY(r);
	if (r > 0)
		TRY(fill_queue(s, SINK_BATCH_BYTES, err));
	return r;
}

int stream_wait(struct stream *s, struct outside *o, struct err *err)
{
	return image_sink_wait(s->to, o, err);
}

static int finish(struct stream *s, struct mem_stats *stats, struct err *err)
{
	uint64_t written = pagemap_pages_written(s->writer);

	stats->direct_bytes += image_sink_direct_bytes(s->to);
	TRY(image_sink_finish(s->to, err));
	TRY(pagemap_close(TAKE_PTR(s->writer), err));
	log_debug("pid %d: wrote %" PRIu64 " pages", s->target->pid, written);
	stats->pages_scanned += s->counted.pages_scanned;
	stats->pages_skipped_parent += s->counted.pages_skipped_parent;
	stats->pages_lazy += s->counted.pages_lazy;
	stats->pages_written += written;
	return 0;
}

int stream_close(struct stream *s, struct mem_stats *stats, struct err *err)
{
	int r = finish(s, stats, err);

	stream_abort(s);
	return r;
}

void stream_abort(struct stream *s)
{
	if (!s)
		return;
	image_sink_free(s->to);
	pagemap_abort(s->writer);
	if (s->from)
		s->from->free(s->from);
	free(s);
}
