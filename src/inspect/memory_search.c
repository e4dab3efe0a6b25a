/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns and strings in memory. What is looked at is a stream of chunks in the order of addresses
 * that says where it is interrupted (unmapped, or not at hand); each search keeps what it needs
 * from the chunks before, so that borders of chunks, extents and mappings don't matter.
 *
 * Memory that was never written to isn't gone through byte by byte: as many zeros as a pattern is
 * long, at its beginning and at its end, tell the same.
 */
#include "base/auto.h"
#include "inspect/space.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_LEN  (UINT64_C(1) << 20)
#define STRING_MAX 65536 /* longer ones are told in parts */

/* What is done with the stream. Each returns 1 to end the search. */
struct stream;
typedef int chunk_fn(struct stream *st, uint64_t addr, const uint8_t *data, size_t len);

struct stream {
	chunk_fn *chunk;
	int (*gap)(struct stream *st); /* what follows isn't adjacent */
	uint64_t zeros;		       /* at each end of untouched memory */
	torpor_memory_found *found;
	void *found_arg;
	uint32_t pid;
	uint64_t next;	/* where the stream is */
	bool left_out;	/* something wasn't at hand */
	uint8_t *buf;	/* CHUNK_LEN bytes, for files */
	uint8_t *blank; /* `zeros` bytes */
	uint64_t done, total;
};

/* --------------------------------------------------------------- the stream */

static int feed(struct stream *st, uint64_t addr, const uint8_t *data, size_t len)
{
	if (addr != st->next && st->gap(st))
		return 1;
	st->next = addr + len;
	return st->chunk(st, addr, data, len);
}

static int feed_zeros(struct stream *st, uint64_t addr, uint64_t len)
{
	uint64_t n = MIN(len, st->zeros);

	if (feed(st, addr, st->blank, n))
		return 1;
	if (len <= n)
		return 0;
	/* If the two ends overlap, the second begins where the first ended. */
	return feed(st, MAX(addr + n, addr + len - n), st->blank, MIN(n, len - n));
}

static int feed_extent(struct space *s, struct stream *st, const struct extent *x, struct err *err)
{
	if (x->from == EXTENT_ZERO)
		return feed_zeros(st, x->start, x->len);
	for (uint64_t at = 0; at < x->len;) {
		uint64_t n = MIN(x->len - at, CHUNK_LEN);
		const uint8_t *data = st->buf;

		if (x->from == EXTENT_IMAGE) {
			data = x->src + at;
			(void)madvise((void *)data, n, MADV_POPULATE_READ);
		} else {
			TRY(space_file_read(s, x->area, st->buf, n, x->file_off + at, err));
		}
		if (feed(st, x->start + at, data, n))
			return 1;
		at += n;
		st->done += n;
		context_progress(s->cp->ctx, "search", st->done, 0);
	}
	return 0;
}

static int feed_space(struct space *s, struct stream *st, const struct torpor_memory_range *range,
		      struct err *err)
{
	uint64_t end = range->len > UINT64_MAX - range->addr ? UINT64_MAX
							     : range->addr + range->len;
	bool files = !(range->flags & TORPOR_MEMORY_NO_FILES);
	int r;

	if (!range->len)
		end = UINT64_MAX;
	for (size_t i = space_find(s, range->addr); i < s->n && s->areas[i].start < end; i++) {
		const struct area *a = &s->areas[i];
		uint64_t to = MIN(a->end, end);

		for (uint64_t at = MAX(a->start, range->addr); at < to;) {
			struct extent x;

			space_extent(s, a, at, &x);
			x.len = MIN(x.len, to - at);
			at += x.len;
			if (!space_has(s, &x, files)) {
				st->left_out |= x.from == EXTENT_FILE;
				continue;
			}
			r = feed_extent(s, st, &x, err);
			if (r != 0)
				return r;
		}
	}
	return st->gap(st);
}

/* Not every process has memory. */
static bool is_alive(struct torpor_checkpoint *cp, struct checkpoint_task *t)
{
	struct err ignored = ERR_INIT;
	const CoreEntry *core;

	return checkpoint_core(cp, t, &core, &ignored) < 0 || !checkpoint_is_zombie(core);
}

static int search_process(struct torpor_checkpoint *cp, uint32_t pid, struct stream *st,
			  const struct torpor_memory_range *range, struct err *err)
{
	struct space *s;

	TRY(space_open(cp, pid, &s, err));
	st->pid = pid;
	st->next = UINT64_MAX;
	return feed_space(s, st, range, err);
}

static int search_all(struct torpor_checkpoint *cp, struct stream *st,
		      const struct torpor_memory_range *range, struct err *err)
{
	for (size_t i = 0; i < cp->tasks.len; i++) {
		struct checkpoint_task *t = &cp->tasks.data[i];
		int r;

		if (!cp->pre_dump && !is_alive(cp, t))
			continue;
		r = search_process(cp, t->pid, st, range, err);
		if (r != 0)
			return r;
	}
	return 0;
}

static int run_stream(struct torpor_checkpoint *cp, struct stream *st,
		      const struct torpor_memory_range *range, struct err *err)
{
	int r;

	if (range->flags & ~TORPOR_MEMORY_NO_FILES)
		return err_input(err, "unknown flags: %#x", range->flags);
	st->buf = xcalloc(CHUNK_LEN, 1);
	st->blank = xcalloc(MAX(st->zeros, 1), 1);
	r = range->pid ? search_process(cp, range->pid, st, range, err)
		       : search_all(cp, st, range, err);
	free(st->buf);
	free(st->blank);
	if (r < 0)
		return r;
	return st->left_out;
}

/* ---------------------------------------------------------------- patterns */

struct pattern_stream {
	struct stream st;
	const uint8_t *pattern;
	size_t len;
	uint8_t *kept; /* the last len - 1 bytes at most, then room for as many again */
	size_t nkept;
};

static int pattern_gap(struct stream *st)
{
	container_of(st, struct pattern_stream, st)->nkept = 0;
	return 0;
}

/* All matches that begin in the first `starts` bytes. */
static int match(const struct pattern_stream *p, uint64_t addr, const uint8_t *data, size_t len,
		 size_t starts)
{
	const uint8_t *at = data;

	while ((at = memmem(at, len - (size_t)(at - data), p->pattern, p->len))) {
		if ((size_t)(at - data) >= starts)
			return 0;
		if (p->st.found(p->st.found_arg, p->st.pid, addr + (uint64_t)(at - data), at,
				p->len))
			return 1;
		at++;
	}
	return 0;
}

/* What is kept is the end of what was kept before, and of this. */
static void keep_tail(struct pattern_stream *p, const uint8_t *data, size_t len)
{
	size_t want = p->len - 1, fresh = MIN(len, want), old = MIN(p->nkept, want - fresh);

	memmove(p->kept, p->kept + p->nkept - old, old);
	memcpy(p->kept + old, data + len - fresh, fresh);
	p->nkept = old + fresh;
}

static int pattern_chunk(struct stream *st, uint64_t addr, const uint8_t *data, size_t len)
{
	struct pattern_stream *p = container_of(st, struct pattern_stream, st);
	size_t head = MIN(len, p->len - 1);

	/* Those that began before. */
	memcpy(p->kept + p->nkept, data, head);
	if (match(p, addr - p->nkept, p->kept, p->nkept + head, p->nkept))
		return 1;
	if (match(p, addr, data, len, len))
		return 1;
	keep_tail(p, data, len);
	return 0;
}

static bool only_zeros(const uint8_t *pattern, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (pattern[i])
			return false;
	return true;
}

int torpor_checkpoint_search_memory(struct torpor_checkpoint *cp,
				    const struct torpor_memory_range *range, const void *pattern,
				    size_t len, torpor_memory_found *found, void *arg)
{
	struct err *err = context_begin(cp->ctx);
	struct pattern_stream p = {
		.st = {.chunk = pattern_chunk,
		       .gap = pattern_gap,
		       .zeros = len,
		       .found = found,
		       .found_arg = arg},
		.pattern = pattern,
		.len = len,
	};
	int r;

	if (!len || len > CHUNK_LEN)
		return err_input(err, "a pattern of %zu bytes: 1 to %" PRIu64 " are possible", len,
				 CHUNK_LEN);
	if (only_zeros(pattern, len)) {
		err_input(err, "a pattern of nothing but zeros is everywhere");
		return err_hint(err, "search for something else beside them");
	}
	p.kept = xcalloc(2, len);
	r = run_stream(cp, &p.st, range, err);
	free(p.kept);
	return r;
}

/* ----------------------------------------------------------------- strings */

struct string_stream {
	struct stream st;
	size_t min;
	uint64_t start; /* of what is in text */
	size_t len;
	bool told; /* the part before was told: this one counts, however short */
	char text[STRING_MAX];
};

static int tell_string(struct string_stream *s)
{
	bool enough = s->len && (s->told || s->len >= s->min);

	s->told = false;
	if (enough && s->st.found(s->st.found_arg, s->st.pid, s->start, s->text, s->len))
		return 1;
	s->len = 0;
	return 0;
}

static int string_gap(struct stream *st)
{
	return tell_string(container_of(st, struct string_stream, st));
}

static int string_chunk(struct stream *st, uint64_t addr, const uint8_t *data, size_t len)
{
	struct string_stream *s = container_of(st, struct string_stream, st);

	for (size_t i = 0; i < len; i++) {
		bool printable = (data[i] >= ' ' && data[i] < 0x7f) || data[i] == '\t';

		if (!printable) {
			if (s->len && tell_string(s))
				return 1;
			s->told = false;
			continue;
		}
		if (!s->len)
			s->start = addr + i;
		s->text[s->len++] = (char)data[i];
		if (s->len == sizeof(s->text)) {
			if (tell_string(s))
				return 1;
			s->told = true;
		}
	}
	return 0;
}

int torpor_checkpoint_memory_strings(struct torpor_checkpoint *cp,
				     const struct torpor_memory_range *range, size_t min,
				     torpor_memory_found *found, void *arg)
{
	struct err *err = context_begin(cp->ctx);
	auto_free struct string_stream *s = NULL;

	if (!min || min > STRING_MAX)
		return err_input(err, "strings of at least %zu characters: 1 to %d are possible",
				 min, STRING_MAX);
	s = xcalloc(1, sizeof(*s));
	s->st = (struct stream){.chunk = string_chunk,
				.gap = string_gap,
				.zeros = 1,
				.found = found,
				.found_arg = arg};
	s->min = min;
	return run_stream(cp, &s->st, range, err);
}
