/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run is: a byte with its flags (bits 0 to 3), "huge" (4) and "adjacent to the one before" (5);
 * the gap in pages, if there is one; its length in pages; its owner, if PE_COW. Numbers are 7 bits
 * a byte, low ones first, as in protobuf.
 */
#include "image/runs.h"

#include "base/auto.h"

#define FLAGS	 0x0fu
#define HUGE	 0x10u
#define ADJACENT 0x20u

#define RUNS_PER_MARK 128
/* So many runs are read one by one before a mark is looked for. */
#define NEAR 16

_Static_assert((PE_PARENT | PE_LAZY | PE_PRESENT | PE_COW) == FLAGS, "flags fit");

static uint64_t page_len(void)
{
	return (uint64_t)getpagesize();
}

static void put_number(struct runs *r, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		*vec_push(&r->bytes) = (uint8_t)(v | 0x80);
	*vec_push(&r->bytes) = (uint8_t)v;
}

static uint64_t get_number(const struct runs *r, size_t *at)
{
	uint64_t v = 0;

	for (unsigned int shift = 0;; shift += 7) {
		uint8_t b = r->bytes.data[(*at)++];

		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return v;
	}
}

void runs_add(struct runs *r, const struct page_run *run)
{
	uint64_t first = run->vaddr / page_len();
	uint8_t head = (uint8_t)((run->flags & FLAGS) | (run->huge ? HUGE : 0) |
				 (first == r->end ? ADJACENT : 0));

	if (r->n++ % RUNS_PER_MARK == 0)
		*vec_push(&r->marks) = (struct runs_mark){r->end, r->off, r->bytes.len};
	*vec_push(&r->bytes) = head;
	if (first != r->end)
		put_number(r, first - r->end);
	put_number(r, run->npages);
	if (run->flags & PE_COW)
		put_number(r, run->owner);
	r->end = first + run->npages;
	if (run->flags & PE_PRESENT)
		r->off += run->npages * page_len();
}

void runs_fit(struct runs *r)
{
	if (!r->n)
		return;
	r->bytes.data = xrealloc(r->bytes.data, r->bytes.len, sizeof(*r->bytes.data));
	r->bytes.cap = r->bytes.len;
	r->marks.data = xrealloc(r->marks.data, r->marks.len, sizeof(*r->marks.data));
	r->marks.cap = r->marks.len;
}

void runs_done(struct runs *r)
{
	vec_done(&r->bytes);
	vec_done(&r->marks);
	*r = (struct runs){0};
}

bool runs_next(const struct runs *r, struct runs_cursor *c)
{
	uint8_t head;

	if (c->at >= r->bytes.len)
		return false;
	head = r->bytes.data[c->at++];
	if (!(head & ADJACENT))
		c->end += get_number(r, &c->at);
	c->run = (struct page_run){
		.vaddr = c->end * page_len(),
		.npages = get_number(r, &c->at),
		.flags = head & FLAGS,
		.off = c->off,
		.huge = head & HUGE,
	};
	if (c->run.flags & PE_COW)
		c->run.owner = (uint32_t)get_number(r, &c->at);
	c->end += c->run.npages;
	if (c->run.flags & PE_PRESENT)
		c->off += c->run.npages * page_len();
	return true;
}

/* The last mark that isn't behind this page. */
static const struct runs_mark *mark_before(const struct runs *r, uint64_t page)
{
	size_t lo = 0, hi = r->marks.len;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->marks.data[mid].end <= page)
			lo = mid;
		else
			hi = mid;
	}
	return &r->marks.data[lo];
}

/* Is the run that is looked for this one, or one behind it? */
static bool is_ahead(const struct runs_cursor *c, uint64_t page)
{
	return c->run.npages && c->run.vaddr / page_len() <= page;
}

bool runs_seek(const struct runs *r, struct runs_cursor *c, uint64_t vaddr)
{
	uint64_t page = vaddr / page_len();
	const struct runs_mark *m;
	bool more = true;

	if (!r->n)
		return false;
	if (is_ahead(c, page)) {
		for (int i = 0; i < NEAR && more && c->end <= page; i++)
			more = runs_next(r, c);
		if (!more || c->end > page)
			return more;
	}
	m = mark_before(r, page);
	*c = (struct runs_cursor){.end = m->end, .off = m->off, .at = m->at};
	while ((more = runs_next(r, c)) && c->end <= page)
		;
	return more;
}
