/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that a parent doesn't have any more (it has written to them since) but its children share,
 * with each other or with their grandparents. A child is a copy of its parent at the moment of the
 * restore's fork, so for that moment the parent gets the page as the children have it (`over`):
 * from its own parent, if that has it, otherwise from the image. When all of them are cloned it
 * gets its own back (finish), and what it leaves behind is shared by the children.
 *
 * A page is worth that if it saves copies: of n children that have it, n copies; it costs one if it
 * has to be written first, and one for each child that may still have the parent's own page.
 *
 * Where images say which pages are one, equal `src` say it here, for long runs at once. Otherwise a
 * sample of the bytes chooses and all of them decide. A wrong choice would cost memory, nothing
 * else: plans compare with whatever the parent has then.
 */
#include "mem/restore.h"

#include "base/auto.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"
#include "mem/plan.h"

#include <string.h>

/* So far up it is looked for who has a page. */
#define ANCESTORS 8

/* Pages of a child that aren't its parent's, where it keeps the parent's mapping. */
struct differing {
	uint64_t va, end;
	const uint8_t *src;
};

typedef VEC(struct differing) differing_vec;

struct candidate {
	uint64_t key; /* equal for equal pages */
	const uint8_t *src;
};

struct sweep {
	struct rmem *parent;
	struct page_cursor own; /* the parent's pages */
	struct page_cursor up[ANCESTORS];
	size_t nup;
	size_t nchildren;
	size_t keep;		 /* of the parent's plan */
	differing_vec active;	 /* those that hold the current address */
	struct candidate *found; /* room for one of each child */
};

static int by_va(const void *a, const void *b)
{
	uint64_t x = ((const struct differing *)a)->va, y = ((const struct differing *)b)->va;

	return (x > y) - (x < y);
}

static int by_key(const void *a, const void *b)
{
	uint64_t x = ((const struct candidate *)a)->key, y = ((const struct candidate *)b)->key;

	return (x > y) - (x < y);
}

/* Some words of the page, mixed (the multiplier of Fibonacci hashing). */
static uint64_t sample_page(const uint8_t *page)
{
	uint64_t h = 0;

	for (size_t at = 0; at < PAGE_LEN; at += 520) {
		uint64_t word;

		memcpy(&word, page + at, sizeof(word));
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

static void add_differing(differing_vec *ret, const struct mem_plan *p)
{
	size_t k = 0;

	vec_foreach (f, &p->fill) {
		while (k < p->keep.len && p->keep.data[k].end <= f->va)
			k++;
		if (k == p->keep.len)
			return;
		if (p->keep.data[k].v == f->vma)
			*vec_push(ret) = (struct differing){
				.va = f->va, .end = f->va + f->npages * PAGE_LEN, .src = f->src};
	}
}

/* ------------------------------------------------------------------ choice */

/* Locked and huge pages can't be exchanged that easily. */
static bool is_exchangeable(const struct vma *v)
{
	return vma_is_private(v) && !vma_is_kernels(v) &&
	       !(v->flags & (MAP_LOCKED | MAP_HUGETLB)) && (v->flags & MAP_TYPE) != MAP_DROPPABLE;
}

/* Does the parent keep there what it starts with? */
static bool keeps(struct sweep *s, uint64_t va, uint64_t *until)
{
	const struct mem_plan *p = s->parent->plan;
	const struct keep *k;

	while (s->keep < p->keep.len && p->keep.data[s->keep].end <= va)
		s->keep++;
	if (s->keep == p->keep.len)
		return false;
	k = &p->keep.data[s->keep];
	*until = MIN(*until, k->v->start > va ? k->v->start : k->end);
	return k->v->start <= va;
}

static bool is_same(const struct sweep *s, const uint8_t *a, const uint8_t *b)
{
	return a == b || (!s->parent->knows_cow && memcmp(a, b, PAGE_LEN) == 0);
}

/* How many of c[0..n), whose keys are equal, are the same page as the first. */
static size_t count_same(const struct sweep *s, const struct candidate *c, size_t n)
{
	size_t same = 1;

	for (size_t i = 1; i < n; i++)
		same += is_same(s, c[0].src, c[i].src);
	return same;
}

static bool any_above_has(const struct sweep *s, const uint8_t *const *above, const uint8_t *page)
{
	for (size_t i = 0; i < s->nup; i++)
		if (above[i] && is_same(s, above[i], page))
			return true;
	return false;
}

/* The best page for address `va`, or NULL. What it gains has to be more than `best`. */
static const uint8_t *choose(struct sweep *s, uint64_t va, size_t best, const uint8_t *const *above)
{
	const uint8_t *ret = NULL;
	size_t n = s->active.len;

	for (size_t i = 0; i < n; i++) {
		const struct differing *d = &s->active.data[i];
		const uint8_t *src = d->src + (va - d->va);

		s->found[i] = (struct candidate){
			s->parent->knows_cow ? (uintptr_t)src : sample_page(src), src};
	}
	if (n > 1)
		qsort(s->found, n, sizeof(*s->found), by_key);
	for (size_t i = 0, end; i < n; i = end) {
		size_t gain;

		for (end = i + 1; end < n && s->found[end].key == s->found[i].key;)
			end++;
		if (end - i <= best)
			continue;
		gain = count_same(s, &s->found[i], end - i);
		gain -= !any_above_has(s, above, s->found[i].src);
		if (gain > best) {
			best = gain;
			ret = s->found[i].src;
		}
	}
	return ret;
}

static void add_over(struct rmem *m, const struct vma *v, uint64_t va, uint64_t len,
		     const uint8_t *src)
{
	struct page_over *last = m->over.len ? &m->over.data[m->over.len - 1] : NULL;
	uint64_t npages = len / PAGE_LEN;

	if (last && va > v->start && last->va + last->npages * PAGE_LEN == va &&
	    last->src + last->npages * PAGE_LEN == src)
		last->npages += npages;
	else
		*vec_push(&m->over) = (struct page_over){va, npages, src};
}

/* [va, end) lies within all that is active, and in mapping v of the parent. */
static void consider_vma(struct sweep *s, const struct vma *v, uint64_t va, uint64_t end)
{
	for (uint64_t until; va < end; va = until) {
		const uint8_t *above[ANCESTORS] = {0}, *src = NULL;
		size_t n = s->active.len, losers = 0;

		until = s->parent->knows_cow ? end : va + PAGE_LEN;
		if (page_cursor_get(&s->own, va, &until))
			losers = s->nchildren - n;
		if (keeps(s, va, &until))
			for (size_t i = 0; i < s->nup; i++)
				above[i] = page_cursor_get(&s->up[i], va, &until);
		if (n > losers)
			src = choose(s, va, losers, above);
		if (src)
			add_over(s->parent, v, va, until - va, src);
	}
}

static void consider(struct sweep *s, uint64_t va, uint64_t end)
{
	const struct rmem *m = s->parent;

	while (va < end) {
		const struct vma *v = mem_held_find(m, va);
		uint64_t until = v ? MIN(end, v->end) : end;

		if (v && is_exchangeable(v))
			consider_vma(s, v, MAX(va, v->start), until);
		va = until;
	}
}

/* From border to border of the runs of all children; those that hold an address are active. */
static void sweep(struct sweep *s, const differing_vec *d)
{
	uint64_t at = 0, end;
	size_t next = 0;

	while (next < d->len || s->active.len) {
		size_t kept = 0;

		if (!s->active.len)
			at = d->data[next].va;
		while (next < d->len && d->data[next].va == at)
			*vec_push(&s->active) = d->data[next++];
		end = next < d->len ? d->data[next].va : UINT64_MAX;
		vec_foreach (a, &s->active)
			end = MIN(end, a->end);
		consider(s, at, end);
		vec_foreach (a, &s->active) {
			if (a->end > end)
				s->active.data[kept++] = *a;
		}
		s->active.len = kept;
		at = end;
	}
}

/* ------------------------------------------------------------------- trees */

struct family {
	struct rmem *const *all;
	const int *base;
	int *first, *next; /* children of each: a list */
};

static void plan_one(struct rmem *m, const struct rmem *base)
{
	if (m->plan)
		mem_plan_done(m->plan);
	else
		m->plan = xcalloc(1, sizeof(*m->plan));
	m->plan_base = base;
	mem_plan_make(m->plan, m, base);
}

static void plan_member(const struct family *f, size_t i)
{
	plan_one(f->all[i], f->base[i] < 0 ? NULL : f->all[f->base[i]]);
}

/* Children are done: what they have for their own children counts as theirs. */
static void choose_overs(const struct family *f, size_t p)
{
	auto_free struct candidate *found = NULL;
	struct sweep s = {.parent = f->all[p], .own = page_cursor_at(f->all[p], 0)};
	differing_vec d = {0};

	for (int c = f->first[p]; c >= 0; c = f->next[c], s.nchildren++) {
		if (f->all[c]->over.len)
			plan_member(f, (size_t)c);
		add_differing(&d, f->all[c]->plan);
	}
	for (int up = f->base[p]; up >= 0 && s.nup < ANCESTORS; up = f->base[up])
		s.up[s.nup++] = page_cursor_at(f->all[up], 0);
	if (d.len && (s.nchildren > 1 || s.nup)) {
		s.found = found = xcalloc(s.nchildren, sizeof(*found));
		qsort(d.data, d.len, sizeof(*d.data), by_va);
		sweep(&s, &d);
	}
	vec_done(&s.active);
	vec_done(&d);
}

static void lend_areas(const struct family *f, size_t p, size_t n)
{
	auto_free const struct rmem **children = xcalloc(n, sizeof(*children));
	size_t nchildren = 0;

	for (int c = f->first[p]; c >= 0; c = f->next[c])
		children[nchildren++] = f->all[c];
	mem_lend(f->all[p], children, nchildren);
}

void rmem_share(struct rmem *const *all, const int *base, size_t n)
{
	auto_free int *first = xcalloc(n, sizeof(*first)), *next = xcalloc(n, sizeof(*next));
	const struct family f = {all, base, first, next};

	for (size_t i = 0; i < n; i++)
		first[i] = -1;
	for (size_t i = n; i-- > 0;) {
		if (base[i] < 0)
			continue;
		next[i] = first[base[i]];
		first[base[i]] = (int)i;
	}
	for (size_t p = n; p-- > 0;)
		if (first[p] >= 0)
			lend_areas(&f, p, n);
	for (size_t i = 0; i < n; i++)
		plan_member(&f, i);
	for (size_t p = n; p-- > 0;)
		if (first[p] >= 0)
			choose_overs(&f, p);
	for (size_t i = 0; i < n; i++)
		if (all[i]->over.len || (base[i] >= 0 && all[base[i]]->over.len))
			plan_member(&f, i);
}
