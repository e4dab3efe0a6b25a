/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that children share with each other but no more with their parent: it has written to them
 * after the last fork. A child is a copy of its parent at the moment of the restore's fork, so for
 * that moment the parent gets the page as the children have it (`over`). When all of them are
 * cloned it gets its own back (finish), and what it leaves behind is shared by the children.
 *
 * A page is worth that if more children gain than lose by it, those that still have the parent's
 * own page. The choice is by a sample of the bytes and then by all of them; a wrong one would cost
 * memory, nothing else, since plans compare whole pages with whatever the parent has then.
 */
#include "mem/restore.h"

#include "base/auto.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"
#include "mem/plan.h"

#include <string.h>

/* A page of a child that isn't its parent's. */
struct differing {
	uint64_t va;
	uint64_t sample;
	const uint8_t *src;
};

typedef VEC(struct differing) differing_vec;

static int by_va(const void *a, const void *b)
{
	uint64_t x = ((const struct differing *)a)->va, y = ((const struct differing *)b)->va;

	return x < y ? -1 : x > y;
}

static int by_sample(const void *a, const void *b)
{
	uint64_t x = ((const struct differing *)a)->sample;
	uint64_t y = ((const struct differing *)b)->sample;

	return x < y ? -1 : x > y;
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

/* Only where the child keeps the parent's mapping can it get a page from there. */
static void add_differing_pages(differing_vec *ret, const struct mem_plan *p)
{
	size_t k = 0;

	vec_foreach (f, &p->fill) {
		while (k < p->keep.len && p->keep.data[k].end <= f->va)
			k++;
		if (k == p->keep.len)
			return;
		for (uint64_t i = 0; p->keep.data[k].v == f->vma && i < f->npages; i++)
			*vec_push(ret) = (struct differing){.va = f->va + i * PAGE_LEN,
							    .src = f->src + i * PAGE_LEN};
	}
}

/* Locked and huge pages can't be exchanged that easily. */
static bool can_exchange(const struct rmem *m, uint64_t va)
{
	const struct vma *v = layout_find(&m->vmas, m->nreal, va);

	return v && v->start <= va && vma_is_private(v) && !vma_is_kernels(v) &&
	       !(v->flags & (MAP_LOCKED | MAP_HUGETLB)) && (v->flags & MAP_TYPE) != MAP_DROPPABLE;
}

/* How many of d[0..n), whose samples are equal, have the same bytes as the first. */
static size_t count_equal(const struct differing *d, size_t n)
{
	size_t equal = 1;

	for (size_t i = 1; i < n; i++)
		equal += memcmp(d[0].src, d[i].src, PAGE_LEN) == 0;
	return equal;
}

/* d[0..n) are pages of n different children at one address. */
static void consider(struct rmem *parent, struct differing *d, size_t n, size_t nchildren)
{
	size_t losers = nchildren - n, best = losers + 1;
	const uint8_t *src = NULL;

	if (n <= best || !can_exchange(parent, d[0].va))
		return;
	for (size_t i = 0; i < n; i++)
		d[i].sample = sample_page(d[i].src);
	qsort(d, n, sizeof(*d), by_sample);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && d[end].sample == d[i].sample;)
			end++;
		if (end - i > best) {
			size_t equal = count_equal(&d[i], end - i);

			if (equal > best) {
				best = equal;
				src = d[i].src;
			}
		}
	}
	if (src)
		*vec_push(&parent->over) = (struct page_over){d[0].va, src};
}

static void choose_overs(struct rmem *parent, differing_vec *d, size_t nchildren)
{
	if (d->len)
		qsort(d->data, d->len, sizeof(*d->data), by_va);
	for (size_t i = 0, end; i < d->len; i = end) {
		for (end = i + 1; end < d->len && d->data[end].va == d->data[i].va;)
			end++;
		consider(parent, &d->data[i], end - i, nchildren);
	}
}

static void plan_one(struct rmem *m, const struct rmem *base)
{
	if (m->plan)
		mem_plan_done(m->plan);
	else
		m->plan = xcalloc(1, sizeof(*m->plan));
	m->plan_base = base;
	mem_plan_make(m->plan, m, base);
}

void rmem_share(struct rmem *const *all, const int *base, size_t n)
{
	auto_free int *first = xcalloc(n, sizeof(*first)), *next = xcalloc(n, sizeof(*next));

	for (size_t i = 0; i < n; i++)
		first[i] = -1;
	for (size_t i = n; i-- > 0;) {
		plan_one(all[i], base[i] < 0 ? NULL : all[base[i]]);
		if (base[i] < 0)
			continue;
		next[i] = first[base[i]];
		first[base[i]] = (int)i;
	}
	for (size_t p = 0; p < n; p++) {
		differing_vec d = {0};
		size_t nchildren = 0;

		if (first[p] < 0 || next[first[p]] < 0)
			continue; /* it takes two to share */
		for (int c = first[p]; c >= 0; c = next[c], nchildren++)
			add_differing_pages(&d, all[c]->plan);
		choose_overs(all[p], &d, nchildren);
		vec_done(&d);
	}
	for (size_t i = 0; i < n; i++)
		if (all[i]->over.len || (base[i] >= 0 && all[base[i]]->over.len))
			plan_one(all[i], base[i] < 0 ? NULL : all[base[i]]);
}
