/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages into image files: in one copy, made by the target itself.
 *
 * The pages file is lent to the target, which writes its own pages with pwritev(): no buffer of
 * ours, no page of the target touched by anybody else. Lending costs some round trips, so that a
 * small rest is read from outside, and so is what the target can't do or must not try:
 *  - memory that it may not read (PROT_NONE, protection keys): the call stops there, EFAULT;
 *  - a limit on file sizes (RLIMIT_FSIZE): crossing it would leave a SIGXFSZ pending;
 *  - a full descriptor table, or system call filters.
 * Should torpor die, the target's call ends within one batch (BATCH_BYTES), and the agent closes
 * the file.
 */
#include "mem/sink.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "mem/outside.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096u

/*
 * Below it, copying through a buffer is quicker than lending a descriptor: that takes some round
 * trips, for which the target has to be scheduled, on a busy machine after everybody else.
 */
#define LEND_MIN_BYTES (4 * 1024 * 1024)
/* One batch of the target's: some tens of milliseconds. */
#define BATCH_BYTES (64 * 1024 * 1024)
#define BATCH_CALLS 16
#define BATCH_IOVS  (4 * IOV_MAX)

struct image_sink {
	struct page_sink base;
	struct target *target;
	struct pagemap_writer *writer;
	VEC(struct mem_piece) queue;
	uint64_t queued_bytes;
	struct outside outside;
	bool lent, cant_lend;
	struct tfd fd; /* lent */
	struct batch *batch;
};

/* A pwritev() in a batch: pieces [first, first + n) of the queue. */
struct write_call {
	size_t index;
	size_t first, n;
	uint64_t len;
};

/* ---------------------------------------------------------------- lending */

static bool may_grow_files(const struct target *t)
{
	auto_free char *text = NULL;
	const char *line;
	uint64_t limit;

	if (io_read_file(t->proc, "limits", &text, NULL) < 0)
		return false;
	line = strstr(text, "Max file size");
	if (!line)
		return false;
	line += strlen("Max file size");
	if (scan_u64(&line, 10, &limit))
		return false;
	return strncmp(line + strspn(line, " "), "unlimited", 9) == 0;
}

static int lend(struct image_sink *s, struct err *err)
{
	struct err why = ERR_INIT;
	int r;

	if (s->lent || s->cant_lend)
		return 0;
	s->cant_lend = s->target->has_seccomp || !may_grow_files(s->target);
	if (s->cant_lend)
		return 0;
	r = target_lend_fd(s->target, s->outside.fd, &s->fd, &why);
	if (r < 0 && why.kind == ERR_GONE) {
		*err = why;
		return r;
	}
	if (r < 0)
		log_debug("pid %d: writes no pages itself: %s", s->target->pid, why.text);
	s->lent = r >= 0;
	s->cant_lend = r < 0;
	if (s->lent)
		s->batch = batch_new(target_leader(s->target));
	return 0;
}

static int take_back(struct image_sink *s, struct err *err)
{
	batch_free(TAKE_PTR(s->batch));
	if (!s->lent)
		return 0;
	s->lent = false;
	return target_return_fd(s->target, s->fd, err);
}

/* ------------------------------------------------------- the target's way */

/* How many pieces from `first` on one call can take: readable, side by side in the file. */
static size_t call_span(const struct image_sink *s, size_t first, size_t room, uint64_t *ret_len)
{
	size_t i = first;
	uint64_t len = 0;

	for (; i < s->queue.len && i - first < MIN(room, IOV_MAX); i++) {
		const struct mem_piece *p = &s->queue.data[i];

		if (!p->readable || (i > first && p->off != s->queue.data[first].off + len))
			break;
		if (i > first && len + p->len > BATCH_BYTES)
			break;
		len += p->len;
	}
	*ret_len = len;
	return i - first;
}

static void add_call(struct image_sink *s, struct write_call *c)
{
	raddr_t at = batch_space(s->batch, c->n * sizeof(struct iovec));
	struct iovec *iov = batch_data(s->batch, at);

	for (size_t i = 0; i < c->n; i++) {
		const struct mem_piece *p = &s->queue.data[c->first + i];

		iov[i] = (struct iovec){(void *)(uintptr_t)p->va, p->len};
	}
	c->index = batch_call(s->batch, SYS_pwritev, (uint64_t)s->fd.n, at.va, c->n,
			      s->queue.data[c->first].off, 0);
}

/* What a call left unwritten, from outside. */
static int complete(struct image_sink *s, const struct write_call *c, struct err *err)
{
	int64_t ret = batch_ret(s->batch, c->index);
	uint64_t done = ret > 0 ? (uint64_t)ret : 0;

	if (done >= c->len)
		return 0;
	log_debug("pid %d: wrote %" PRIu64 " of %" PRIu64 " bytes of pages itself (%" PRId64 ")",
		  s->target->pid, done, c->len, ret);
	for (size_t i = c->first; i < c->first + c->n; i++) {
		struct mem_piece p = s->queue.data[i];
		uint64_t skip = MIN(done, p.len);

		done -= skip;
		p.va += skip;
		p.off += skip;
		p.len -= skip;
		if (p.len)
			TRY(outside_copy(&s->outside, &p, 1, err));
	}
	return 0;
}

static int run_calls(struct image_sink *s, const struct write_call *calls, size_t n,
		     struct err *err)
{
	if (n) {
		TRY(batch_run(s->batch, err));
		for (size_t i = 0; i < n; i++)
			TRY(complete(s, &calls[i], err));
	}
	batch_reset(s->batch);
	return 0;
}

static int write_by_target(struct image_sink *s, struct err *err)
{
	struct write_call calls[BATCH_CALLS];
	size_t n = 0, iovs = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->queue.len;) {
		struct write_call c = {.first = i};

		c.n = call_span(s, i, BATCH_IOVS - iovs, &c.len);
		if (!c.n) {
			if (s->queue.data[i].readable) { /* no more room */
				TRY(run_calls(s, calls, n, err));
				n = iovs = bytes = 0;
			} else {
				TRY(outside_copy(&s->outside, &s->queue.data[i++], 1, err));
			}
			continue;
		}
		add_call(s, &c);
		calls[n++] = c;
		i += c.n;
		iovs += c.n;
		bytes += c.len;
		if (n == BATCH_CALLS || bytes >= BATCH_BYTES) {
			TRY(run_calls(s, calls, n, err));
			n = iovs = bytes = 0;
		}
	}
	return run_calls(s, calls, n, err);
}

/* ------------------------------------------------------------------ sink */

static int flush(struct image_sink *s, struct err *err)
{
	if (!s->queue.len)
		return 0;
	s->outside.fd = pagemap_pages_fd(s->writer, err);
	TRY(s->outside.fd);
	if (s->queued_bytes >= LEND_MIN_BYTES)
		TRY(lend(s, err));
	if (s->lent)
		TRY(write_by_target(s, err));
	else
		TRY(outside_copy(&s->outside, s->queue.data, s->queue.len, err));
	vec_foreach (piece, &s->queue)
		pagemap_wrote(s->writer, piece->off, piece->len);
	s->queue.len = 0;
	s->queued_bytes = 0;
	return 0;
}

/* A piece is at most one batch, so that the call that writes it has an end in sight. */
static int queue_bytes(struct image_sink *s, const struct mem_run *run, uint64_t off,
		       struct err *err)
{
	uint64_t len = run->npages * PAGE;

	for (uint64_t done = 0; done < len;) {
		uint64_t n = MIN(len - done, BATCH_BYTES);

		*vec_push(&s->queue) = (struct mem_piece){
			.va = run->start + done,
			.len = n,
			.off = off + done,
			.readable = run->readable,
		};
		s->queued_bytes += n;
		done += n;
		if (s->queued_bytes >= BATCH_BYTES || s->queue.len >= BATCH_IOVS)
			TRY(flush(s, err));
	}
	return 0;
}

static int take(struct page_sink *base, const struct mem_run *run, struct err *err)
{
	struct image_sink *s = container_of(base, struct image_sink, base);
	const struct page_run entry = {
		.vaddr = run->start,
		.npages = run->npages,
		.flags = run->flags,
		.owner = run->owner,
		.huge = run->huge,
	};
	uint64_t off = 0;

	TRY(pagemap_add(s->writer, &entry, &off, err));
	return run->flags & PE_PRESENT ? queue_bytes(s, run, off, err) : 0;
}

static int finish(struct page_sink *base, struct err *err)
{
	struct image_sink *s = container_of(base, struct image_sink, base);

	TRY(flush(s, err));
	return take_back(s, err);
}

static void free_sink(struct page_sink *base)
{
	struct image_sink *s = container_of(base, struct image_sink, base);
	struct err err = ERR_INIT;

	if (take_back(s, &err) < 0)
		log_debug("%s", err.text); /* the agent closes it when it leaves */
	outside_done(&s->outside);
	vec_done(&s->queue);
	free(s);
}

struct page_sink *image_sink_new(struct target *t, struct pagemap_writer *w)
{
	struct image_sink *s = xcalloc(1, sizeof(*s));

	s->base = (struct page_sink){.take = take, .finish = finish, .free = free_sink};
	s->target = t;
	s->writer = w;
	s->outside = (struct outside){.target = t, .fd = -EBADF};
	return &s->base;
}
