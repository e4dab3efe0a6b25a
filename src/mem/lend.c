/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a parent has only for its children: areas in which several of them share pages, while it has
 * unmapped them since, or never had them (the children were another process's, which is dead). It
 * gets such an area with the pages that they share (siblings.c), and unmaps it when all of them are
 * cloned (finish).
 *
 * Next to a mapping of its own of the same kind the kernel would make one of the two. It is one
 * from the start then: as it was before the parent unmapped a part of it, so that a child that has
 * all of it has one mapping.
 */
#include "mem/plan.h"

#include "base/auto.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"

#include <string.h>

#define SAMPLES 64

/* A part of a child's mapping of which the parent has nothing. */
struct wish {
	const struct rmem *child;
	const struct vma *v;
	uint64_t start, end;
};

typedef VEC(struct wish) wish_vec;

static int by_start(const void *a, const void *b)
{
	uint64_t x = ((const struct wish *)a)->start, y = ((const struct wish *)b)->start;

	return (x > y) - (x < y);
}

static bool is_lendable(const struct vma *v)
{
	return vma_is(v, VMA_AREA_REGULAR | VMA_ANON_PRIVATE) && !vma_is_kernels(v) &&
	       !(v->flags & (MAP_LOCKED | MAP_HUGETLB | MAP_GROWSDOWN)) &&
	       (v->flags & MAP_TYPE) != MAP_DROPPABLE;
}

static bool has_pages(const struct rmem *m, uint64_t start, uint64_t end)
{
	size_t i = page_map_find(m->pages, start);

	return i < m->pages->n && m->pages->pieces[i].vaddr < end;
}

static void add_wishes(wish_vec *ret, const struct rmem *parent, const struct rmem *child,
		       const struct vma *v)
{
	for (uint64_t va = v->start, end; va < v->end; va = end) {
		const struct vma *at = mem_held_find(parent, va);

		if (at && at->start <= va) {
			end = at->end;
			continue;
		}
		end = at ? MIN(v->end, at->start) : v->end;
		if (has_pages(child, va, end))
			*vec_push(ret) = (struct wish){child, v, va, end};
	}
}

/* Is any page in [va, end) one for both? By bytes only some are looked at, all over it. */
static bool share_any(const struct rmem *a, const struct rmem *b, uint64_t va, uint64_t end)
{
	struct page_cursor x = page_cursor_at(a, va), y = page_cursor_at(b, va);
	uint64_t step = MAX((end - va) / SAMPLES & ~(PAGE_LEN - 1), PAGE_LEN);

	for (uint64_t until; va < end; va = a->knows_cow ? until : va + step) {
		const uint8_t *p, *q;

		until = end;
		p = page_cursor_get(&x, va, &until);
		q = page_cursor_get(&y, va, &until);
		if (p && (p == q || (q && !a->knows_cow && memcmp(p, q, PAGE_LEN) == 0)))
			return true;
	}
	return false;
}

/* w[0..n) overlap. Neighbours are enough: those who share with others only are copied. */
static bool is_worth_it(const struct wish *w, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (share_any(w[i - 1].child, w[i].child, MAX(w[i - 1].start, w[i].start),
			      MIN(w[i - 1].end, w[i].end)))
			return true;
	return false;
}

static bool is_alike(const struct vma *a, const struct vma *b)
{
	return is_lendable(a) && is_lendable(b) && a->flags == b->flags;
}

static void remove_at(vma_vec *vmas, size_t i)
{
	for (vmas->len--; i < vmas->len; i++)
		vmas->data[i] = vmas->data[i + 1];
}

static void insert_at(vma_vec *vmas, size_t at, const struct vma *v)
{
	(void)vec_push(vmas);
	for (size_t i = vmas->len - 1; i > at; i--)
		vmas->data[i] = vmas->data[i - 1];
	vmas->data[at] = *v;
}

/* [start, end) is free; as the child has it, or as its neighbour is. */
static void add_area(vma_vec *held, const struct vma *like, uint64_t start, uint64_t end)
{
	struct vma area = *like, *left, *right;
	size_t at = 0;

	while (at < held->len && held->data[at].start < start)
		at++;
	left = at && held->data[at - 1].end == start ? &held->data[at - 1] : NULL;
	right = at < held->len && held->data[at].start == end ? &held->data[at] : NULL;
	area.start = start;
	area.end = end;
	area.madv = 0;
	area.prot |= PROT_WRITE; /* tells the kernel that it is memory in use */
	if (right && is_alike(&area, right)) {
		area.prot = right->prot;
		area.end = right->end;
		remove_at(held, at);
	}
	if (left && is_alike(&area, left) && (area.end == end || area.prot == left->prot)) {
		left->end = area.end;
		return;
	}
	insert_at(held, at, &area);
}

static void copy_own(struct rmem *m)
{
	if (m->held.len)
		return;
	for (size_t i = 0; i < m->nreal; i++)
		*vec_push(&m->held) = m->vmas.data[i];
}

void mem_lend(struct rmem *parent, const struct rmem *const *children, size_t n)
{
	wish_vec wishes = {0};

	if (n < 2)
		return;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < children[i]->nreal; k++)
			if (is_lendable(&children[i]->vmas.data[k]))
				add_wishes(&wishes, parent, children[i],
					   &children[i]->vmas.data[k]);
	if (wishes.len)
		qsort(wishes.data, wishes.len, sizeof(*wishes.data), by_start);
	for (size_t i = 0, next; i < wishes.len; i = next) {
		const struct wish *w = &wishes.data[i];
		uint64_t end = w->end;

		for (next = i + 1; next < wishes.len && wishes.data[next].start < end; next++)
			end = MAX(end, wishes.data[next].end);
		if (!is_worth_it(w, next - i))
			continue;
		copy_own(parent);
		add_area(&parent->held, w->v, w->start, end);
	}
	vec_done(&wishes);
}
