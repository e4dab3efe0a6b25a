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
#include "image/page_sums.h"
#include "mem/outside.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096u

#define BATCH_CALLS 16
#define BATCH_IOVS  (4 * IOV_MAX)

/* A pwritev() in a batch: pieces [first, first + n) of the queue. */
struct write_call {
	size_t index;
	size_t first, n;
	uint64_t len;
};

struct image_sink {
	struct target *target;
	struct pagemap_writer *writer;
	int pages; /* the pages file; the writer's */
	VEC(struct mem_piece) queue;
	size_t first;	       /* of the queue: those before it are written */
	size_t sent;	       /* ... and those before it are on their way */
	uint64_t queued_bytes; /* from `sent` on */
	bool lent, cant_lend;
	struct tfd fd; /* lent */
	struct batch *batch;
	struct write_call calls[BATCH_CALLS]; /* of the batch that runs */
	size_t ncalls;
	enum direct_use may_direct;
	bool direct; /* O_DIRECT is set: for the batch that runs */
	uint64_t direct_bytes;
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

int image_sink_lend(struct image_sink *s, struct err *err)
{
	struct err why = ERR_INIT;
	int r;

	if (s->lent || s->cant_lend)
		return s->lent;
	s->cant_lend = s->target->has_seccomp || !may_grow_files(s->target);
	if (s->cant_lend)
		return 0;
	s->pages = pagemap_pages_fd(s->writer, err);
	TRY(s->pages);
	r = target_lend_fd(s->target, s->pages, &s->fd, &why);
	if (r < 0 && why.kind == ERR_GONE) {
		*err = why;
		return r;
	}
	if (r < 0)
		log_debug("pid %d: writes no pages itself: %s", s->target->pid, why.text);
	s->lent = r >= 0;
	s->cant_lend = r < 0;
	if (!direct_is_possible(s->pages))
		s->may_direct = DIRECT_NEVER;
	if (s->lent)
		s->batch = batch_new(target_leader(s->target));
	return s->lent;
}

static int take_back(struct image_sink *s, struct err *err)
{
	batch_free(TAKE_PTR(s->batch));
	if (!s->lent)
		return 0;
	s->lent = false;
	return target_return_fd(s->target, s->fd, err);
}

/* ------------------------------------------------------------------ queue */

/* A piece is at most one batch, so that the call that writes it has an end in sight. */
int image_sink_take(struct image_sink *s, const struct mem_run *run, struct err *err)
{
	const struct page_run entry = run_record(run);
	uint64_t len = run->npages * PAGE, off = 0;

	TRY(pagemap_add(s->writer, &entry, &off, err));
	if (!(run->flags & PE_PRESENT))
		return 0;
	for (uint64_t done = 0, n; done < len; done += n) {
		n = MIN(len - done, (uint64_t)SINK_BATCH_BYTES);
		*vec_push(&s->queue) = (struct mem_piece){
			.va = run->start + done,
			.len = n,
			.off = off + done,
			.readable = run->readable,
		};
	}
	s->queued_bytes += len;
	return 0;
}

uint64_t image_sink_queued(const struct image_sink *s)
{
	if (s->queue.len - s->sent >= BATCH_IOVS)
		return MAX(s->queued_bytes, (uint64_t)SINK_BATCH_BYTES);
	return s->queued_bytes;
}

/* These pieces have been moved. */
static void moved(struct image_sink *s, size_t first, size_t n, bool summed)
{
	for (size_t i = first; i < first + n && !summed; i++)
		pagemap_wrote(s->writer, s->queue.data[i].off, s->queue.data[i].len);
	s->first = first + n;
	if (s->first == s->queue.len)
		s->first = s->sent = s->queue.len = 0;
}

/* ---------------------------------------------------- past the page cache */

/* Batches from this size on may go past the page cache. */
#define DIRECT_MIN_BYTES (16 * 1024 * 1024)

/* The description is the target's as well: what is set here holds for what it writes. */
static void set_direct(struct image_sink *s, bool on)
{
	if (s->direct == on)
		return;
	if (fcntl(s->pages, F_SETFL, on ? O_RDWR | O_DIRECT : O_RDWR) < 0)
		s->may_direct = DIRECT_NEVER;
	else
		s->direct = on;
}

static void choose_direct(struct image_sink *s, uint64_t bytes)
{
	struct cache_state c;
	bool wanted = s->may_direct == DIRECT_ALWAYS;

	if (s->may_direct == DIRECT_WHERE_IT_PAYS && bytes >= DIRECT_MIN_BYTES)
		wanted = cache_state_read(&c) == 0 && direct_pays(&c, bytes);
	set_direct(s, wanted);
}

/* The checksums of a direct batch, made while it runs: nobody has its bytes in a cache later. */
static int sum_piece(struct image_sink *s, const struct mem_piece *p, struct outside *o,
		     struct err *err)
{
	uint32_t sums[OUTSIDE_BUF_LEN / PAGE];

	for (uint64_t done = 0, n; done < p->len; done += n) {
		const uint8_t *bytes;

		n = MIN(p->len - done, (uint64_t)OUTSIDE_BUF_LEN);
		TRY(outside_read(o, s->target, p->va + done, n, &bytes, err));
		for (size_t i = 0; i < n / PAGE; i++)
			sums[i] = page_sum(bytes + i * PAGE);
		pagemap_wrote_summed(s->writer, p->off + done, sums, n / PAGE);
	}
	return 0;
}

static int sum_batch(struct image_sink *s, struct outside *o, struct err *err)
{
	for (size_t c = 0; c < s->ncalls; c++) {
		const struct write_call *call = &s->calls[c];

		s->direct_bytes += call->len;
		for (size_t i = call->first; i < call->first + call->n; i++)
			TRY(sum_piece(s, &s->queue.data[i], o, err));
	}
	return 0;
}

/* Buffers of ours aren't aligned. sums: see outside_copy. */
static int copy_piece(struct image_sink *s, const struct mem_piece *p, struct outside *o,
		      struct pagemap_writer *sums, struct err *err)
{
	set_direct(s, false);
	return outside_copy(o, s->target, s->pages, p, 1, sums, err);
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
		if (i > first && len + p->len > SINK_BATCH_BYTES)
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

/* As many calls as one batch may have; returns their bytes. */
static uint64_t fill_batch(struct image_sink *s)
{
	size_t iovs = 0;
	uint64_t bytes = 0;

	batch_reset(s->batch);
	s->ncalls = 0;
	while (s->ncalls < BATCH_CALLS && bytes < SINK_BATCH_BYTES) {
		struct write_call c = {.first = s->sent};

		c.n = call_span(s, c.first, BATCH_IOVS - iovs, &c.len);
		if (!c.n)
			break;
		add_call(s, &c);
		s->calls[s->ncalls++] = c;
		s->sent += c.n;
		s->queued_bytes -= c.len;
		iovs += c.n;
		bytes += c.len;
	}
	return bytes;
}

int image_sink_start(struct image_sink *s, struct outside *o, struct err *err)
{
	while (s->sent < s->queue.len && !s->queue.data[s->sent].readable) {
		TRY(copy_piece(s, &s->queue.data[s->sent], o, s->writer, err));
		s->queued_bytes -= s->queue.data[s->sent].len;
		s->sent++;
		moved(s, s->sent - 1, 1, /* summed= */ true);
	}
	if (s->sent == s->queue.len)
		return 0;
	choose_direct(s, fill_batch(s));
	if (batch_start(s->batch, err) < 0) {
		s->ncalls = 0;
		return err->code;
	}
	if (s->direct)
		TRY(sum_batch(s, o, err));
	return 1;
}

/* What a call left unwritten, from outside. */
static int complete(struct image_sink *s, const struct write_call *c, struct outside *o,
		    struct err *err)
{
	int64_t ret = batch_ret(s->batch, c->index);
	uint64_t done = ret > 0 ? (uint64_t)ret / PAGE * PAGE : 0;

	if (done >= c->len)
		return 0;
	log_debug("pid %d: wrote %" PRIu64 " of %" PRIu64 " bytes of pages itself (%" PRId64 ")",
		  s->target->pid, done, c->len, ret);
	if (s->direct && ret == -EINVAL)
		s->may_direct = DIRECT_NEVER;
	for (size_t i = c->first; i < c->first + c->n; i++) {
		struct mem_piece p = s->queue.data[i];
		uint64_t skip = MIN(done, p.len);

		done -= skip;
		p.va += skip;
		p.off += skip;
		p.len -= skip;
		if (p.len)
			TRY(copy_piece(s, &p, o, NULL, err));
	}
	return 0;
}

int image_sink_wait(struct image_sink *s, struct outside *o, struct err *err)
{
	bool summed = s->direct;
	size_t n = s->ncalls;

	s->ncalls = 0;
	if (n)
		TRY(batch_wait(s->batch, err));
	for (size_t i = 0; i < n; i++)
		TRY(complete(s, &s->calls[i], o, err));
	for (size_t i = 0; i < n; i++)
		moved(s, s->calls[i].first, s->calls[i].n, summed);
	return 0;
}

/* ------------------------------------------------------------------- sink */

int image_sink_copy(struct image_sink *s, struct outside *o, struct err *err)
{
	size_t n = s->queue.len - s->sent;

	if (!n)
		return 0;
	s->pages = pagemap_pages_fd(s->writer, err);
	TRY(s->pages);
	TRY(outside_copy(o, s->target, s->pages, &s->queue.data[s->sent], n, s->writer, err));
	s->sent = s->queue.len;
	s->queued_bytes = 0;
	moved(s, s->first, n, /* summed= */ true);
	return 0;
}

int image_sink_finish(struct image_sink *s, struct err *err)
{
	return take_back(s, err);
}

void image_sink_free(struct image_sink *s)
{
	struct err err = ERR_INIT;

	if (!s)
		return;
	if ((s->ncalls && batch_wait(s->batch, &err) < 0) || take_back(s, &err) < 0)
		log_debug("%s", err.text); /* the agent closes it when it leaves */
	batch_free(s->batch);
	vec_done(&s->queue);
	free(s);
}

uint64_t image_sink_direct_bytes(const struct image_sink *s)
{
	return s->direct_bytes;
}

struct image_sink *image_sink_new(struct target *t, struct pagemap_writer *w,
				  enum direct_use direct)
{
	struct image_sink *s = xcalloc(1, sizeof(*s));

	s->target = t;
	s->writer = w;
	s->pages = -EBADF;
	s->may_direct = direct;
	return s;
}
