/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write sharing comes back by itself: a child starts as a copy of its parent, and only
 * what differs is touched. Hence the order of questions, for each mapping of the child:
 *
 *  1. Is it a continuation of one that the parent has? Then that stays (KEEP), cut to size or
 *     grown at its end. Only if it begins where the child's begins or below: a piece mapped in
 *     front would be a mapping of its own for ever, since the kernel doesn't merge areas that
 *     came by fork with new ones, and the program would see two where it had one.
 *  2. Which of its pages are the parent's? Those that are one in the images stay shared; where
 *     images don't say that, those with equal bytes. The others are written, those that the child
 *     doesn't have are dropped.
 *
 * All other mappings are new, and their pages are filled.
 */
#include "mem/plan.h"

#include "base/auto.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"

#include <string.h>

/* So many differing pages in a row are dropped and filled anew: cheaper than copying to overwrite.
 */
#define DROP_MIN_PAGES 8

/* ----------------------------------------------------------------- cursor */

static uint64_t over_end(const struct page_over *o)
{
	return o->va + o->npages * PAGE_LEN;
}

struct page_cursor page_cursor_at(const struct rmem *m, uint64_t va)
{
	size_t low = 0, high = m->over.len;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (over_end(&m->over.data[mid]) <= va)
			low = mid + 1;
		else
			high = mid;
	}
	return (struct page_cursor){.m = m, .piece = page_map_find(m->pages, va), .over = low};
}

/* Its own, by its image. */
static const uint8_t *own_page(struct page_cursor *c, uint64_t va, uint64_t *until)
{
	const struct page_map *p = c->m->pages;
	const struct page_piece *piece;

	while (c->piece < p->n &&
	       p->pieces[c->piece].vaddr + p->pieces[c->piece].npages * PAGE_LEN <= va)
		c->piece++;
	if (c->piece == p->n)
		return NULL;
	piece = &p->pieces[c->piece];
	if (piece->vaddr > va) {
		*until = MIN(*until, piece->vaddr);
		return NULL;
	}
	*until = MIN(*until, piece->vaddr + piece->npages * PAGE_LEN);
	c->huge = piece->huge;
	return piece->src + (va - piece->vaddr);
}

const uint8_t *page_cursor_get(struct page_cursor *c, uint64_t va, uint64_t *until)
{
	const page_over_vec *all = &c->m->over;
	const struct page_over *over;

	while (c->over < all->len && over_end(&all->data[c->over]) <= va)
		c->over++;
	if (c->over == all->len)
		return own_page(c, va, until);
	over = &all->data[c->over];
	if (over->va > va) {
		*until = MIN(*until, over->va);
		return own_page(c, va, until);
	}
	*until = MIN(*until, over_end(over));
	c->huge = false;
	return over->src + (va - over->va);
}

const struct vma *mem_held_find(const struct rmem *m, uint64_t at)
{
	return m->held.len ? layout_find(&m->held, m->held.len, at)
			   : layout_find(&m->vmas, m->nreal, at);
}

/* ------------------------------------------------------------------ pages */

static void add_fill(struct mem_plan *p, const struct fill *f)
{
	struct fill *last = p->fill.len ? &p->fill.data[p->fill.len - 1] : NULL;

	if (last && last->vma == f->vma && last->fresh == f->fresh && last->huge == f->huge &&
	    last->va + last->npages * PAGE_LEN == f->va &&
	    last->src + last->npages * PAGE_LEN == f->src)
		last->npages += f->npages;
	else
		*vec_push(&p->fill) = *f;
}

/* All pages that the task has in [start, end). */
static void fill_range(struct mem_plan *p, const struct vma *v, const struct rmem *m,
		       uint64_t start, uint64_t end, bool fresh)
{
	struct page_cursor c = page_cursor_at(m, start);

	for (uint64_t va = start, until; va < end; va = until) {
		struct fill f = {.va = va, .vma = v, .fresh = fresh};

		until = end;
		f.src = page_cursor_get(&c, va, &until);
		f.npages = (until - va) / PAGE_LEN;
		f.huge = c.huge;
		f.writable = v->prot & PROT_WRITE;
		if (f.src)
			add_fill(p, &f);
	}
}

static void add_drop(struct mem_plan *p, uint64_t start, uint64_t end)
{
	struct range *last = p->drop.len ? &p->drop.data[p->drop.len - 1] : NULL;

	if (last && last->end == start)
		last->end = end;
	else
		*vec_push(&p->drop) = (struct range){start, end};
}

/* What of a mapping stays, on the way through its pages. */
struct inherit {
	struct mem_plan *p;
	const struct vma *v;
	const struct rmem *m;
	uint64_t from, to; /* pages that differ from the parent's, not planned yet */
};

static void flush_differing(struct inherit *in)
{
	/* A huge page can't be dropped in part. */
	bool fresh = in->to - in->from >= DROP_MIN_PAGES * PAGE_LEN &&
		     !(in->v->flags & MAP_HUGETLB);

	if (in->from < in->to && fresh)
		add_drop(in->p, in->from, in->to);
	fill_range(in->p, in->v, in->m, in->from, in->to, fresh);
	in->from = in->to;
}

static void note_differing(struct inherit *in, uint64_t va, uint64_t len)
{
	if (in->to != va) {
		flush_differing(in);
		in->from = va;
	}
	in->to = va + len;
}

/* Both have pages in [va, va + len). */
static void plan_compare(struct inherit *in, uint64_t va, uint64_t len, const uint8_t *own,
			 const uint8_t *theirs)
{
	uint64_t shared = 0;

	in->p->pages_compared += len / PAGE_LEN;
	if (own == theirs) {
		shared = len;
	} else if (in->m->knows_cow) {
		note_differing(in, va, len);
	} else {
		for (uint64_t at = 0; at < len; at += PAGE_LEN) {
			if (memcmp(own + at, theirs + at, PAGE_LEN) == 0)
				shared += PAGE_LEN;
			else
				note_differing(in, va + at, PAGE_LEN);
		}
	}
	in->p->pages_shared += shared / PAGE_LEN;
}

static void plan_inherited(struct mem_plan *p, const struct keep *k, const struct rmem *m,
			   const struct rmem *base)
{
	uint64_t va = k->v->start, until;
	struct page_cursor c = page_cursor_at(m, va), b = page_cursor_at(base, va);
	struct inherit in = {.p = p, .v = k->v, .m = m, .from = va, .to = va};

	for (; va < k->end; va = until) {
		const uint8_t *own, *theirs;

		until = k->end;
		own = page_cursor_get(&c, va, &until);
		theirs = page_cursor_get(&b, va, &until);
		if (own && theirs) {
			plan_compare(&in, va, until - va, own, theirs);
		} else if (own) {
			flush_differing(&in);
			fill_range(p, k->v, m, va, until, /* fresh= */ true);
		} else if (theirs) {
			add_drop(p, va, until);
		}
	}
	flush_differing(&in);
}

/* --------------------------------------------------------------- mappings */

/* The same memory: anonymous, or the same offset of the same file opened the same way. */
static bool same_backing(const struct vma *v, const struct vma *b)
{
	const uint32_t kinds = VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED |
			       VMA_ANON_PRIVATE;

	if ((v->status & kinds) != (b->status & kinds) ||
	    (v->flags & ~MAP_LOCKED) != (b->flags & ~MAP_LOCKED))
		return false;
	if (v->status & VMA_ANON_PRIVATE)
		return true;
	return v->shmid == b->shmid && v->fdflags == b->fdflags &&
	       v->pgoff - v->start == b->pgoff - b->start;
}

static bool has_pages(const struct rmem *m, uint64_t start, uint64_t end)
{
	size_t i = page_map_find(m->pages, start);

	return i < m->pages->n && m->pages->pieces[i].vaddr < end;
}

static bool was_writable(const struct rmem *m, const struct vma *v)
{
	return vma_is_private(v) && !(v->prot & PROT_WRITE) &&
	       !(v->flags & (MAP_NORESERVE | MAP_HUGETLB)) && has_pages(m, v->start, v->end);
}

/* Growing at the end is mremap(); only worth it if there is something to share. */
static bool worth_growing(const struct rmem *m, const struct vma *v, uint64_t end)
{
	return vma_is_private(v) && !(v->flags & MAP_HUGETLB) &&
	       (v->flags & MAP_TYPE) != MAP_DROPPABLE && has_pages(m, v->start, end);
}

static bool find_keep(const struct rmem *m, const struct vma *v, const struct rmem *base,
		      struct keep *ret)
{
	const struct vma *b = base ? mem_held_find(base, v->start) : NULL;
	uint64_t end;

	if (!b || b->start > v->start || vma_is_kernels(b) || !same_backing(v, b))
		return false;
	end = MIN(v->end, b->end);
	if (end < v->end && !worth_growing(m, v, end))
		return false;
	*ret = (struct keep){v, b, end};
	return true;
}

static void plan_map(struct mem_plan *p, const struct rmem *m, const struct vma *v)
{
	struct map_new *new = vec_push(&p->map);
	size_t i = p->fill.len;

	*new = (struct map_new){v, was_writable(m, v)};
	if (vma_is_private(v))
		fill_range(p, v, m, v->start, v->end, /* fresh= */ true);
	for (; i < p->fill.len; i++)
		p->fill.data[i].writable |= new->was_writable;
}

/* What of the inherited mapping isn't kept; `k` is the first keep that ends behind its start. */
static void plan_unmap(struct mem_plan *p, const struct vma *b, size_t *k)
{
	uint64_t at = b->start;

	for (; *k < p->keep.len && p->keep.data[*k].v->start < b->end; (*k)++) {
		const struct keep *keep = &p->keep.data[*k];

		if (keep->v->start > at)
			*vec_push(&p->unmap) = (struct range){at, keep->v->start};
		at = keep->end;
	}
	if (at < b->end)
		*vec_push(&p->unmap) = (struct range){at, b->end};
}

/*
 * Twins: neighbours that are alike, and parts of one mapping of the parent. They are two because
 * one came by fork and the other was made afterwards, next to it; both kept, they would be one.
 * So only the one that has more in common with the parent is kept.
 */
static bool are_twins(const struct rmem *m, const struct vma *v, const struct rmem *base)
{
	const struct vma *next = v + 1;
	struct keep a, b;

	return v->end == next->start && v->prot == next->prot && v->flags == next->flags &&
	       v->madv == next->madv && find_keep(m, v, base, &a) && find_keep(m, next, base, &b) &&
	       a.base == b.base;
}

static uint64_t count_shared(const struct rmem *m, const struct vma *v, const struct rmem *base)
{
	struct mem_plan p = {0};
	struct keep k;

	if (vma_is_private(v) && find_keep(m, v, base, &k))
		plan_inherited(&p, &k, m, base);
	mem_plan_done(&p);
	return p.pages_shared;
}

/* The index of the one to be kept among the twins from `first` on; *ret_end is behind them. */
static size_t choose_twin(const struct rmem *m, size_t first, const struct rmem *base,
			  size_t *ret_end)
{
	const struct held held = mem_held(m);
	const struct vma *v = held.vmas;
	size_t best = first, i = first;
	uint64_t most = 0, n;

	while (base && i + 1 < held.n && are_twins(m, &v[i], base)) {
		if (i == first)
			most = count_shared(m, &v[first], base);
		n = count_shared(m, &v[++i], base);
		if (n > most) {
			best = i;
			most = n;
		}
	}
	*ret_end = i + 1;
	return best;
}

static void plan_vma(struct mem_plan *p, const struct rmem *m, const struct vma *v,
		     const struct rmem *base, bool may_keep)
{
	struct keep keep;

	if (vma_is_kernels(v))
		return;
	if (!may_keep || !find_keep(m, v, base, &keep)) {
		plan_map(p, m, v);
		return;
	}
	*vec_push(&p->keep) = keep;
	if (!vma_is_private(v))
		return;
	plan_inherited(p, &keep, m, base);
	fill_range(p, v, m, keep.end, v->end, /* fresh= */ true);
}

void mem_plan_make(struct mem_plan *p, const struct rmem *m, const struct rmem *base)
{
	const struct held held = mem_held(m);
	const struct held theirs = base ? mem_held(base) : (struct held){0};
	size_t k = 0;

	*p = (struct mem_plan){0};
	for (size_t i = 0, end; i < held.n; i = end) {
		size_t keep = choose_twin(m, i, base, &end);

		for (size_t j = i; j < end; j++)
			plan_vma(p, m, &held.vmas[j], base, /* may_keep= */ j == keep);
	}
	for (size_t i = 0; base && i < theirs.n; i++)
		if (!vma_is_kernels(&theirs.vmas[i]))
			plan_unmap(p, &theirs.vmas[i], &k);
}

/*
 * The image can't tell MLOCK_ONFAULT. But mlock() brings in every page, so that a locked area
 * with pages missing in the image was locked that way, or is about to be unlocked.
 */
unsigned int mem_plan_mlock(const struct rmem *m, const struct vma *v)
{
	struct page_cursor c = page_cursor_at(m, v->start);
	uint64_t at = v->start, until;

	if (!vma_is(v, VMA_ANON_PRIVATE) || !(v->prot & PROT_WRITE))
		return 0;
	for (; at < v->end; at = until) {
		until = v->end;
		if (!own_page(&c, at, &until))
			return MLOCK_ONFAULT;
	}
	return 0;
}

static void plan_own_pages(struct mem_plan *p, const struct rmem *m, const struct page_over *over)
{
	struct page_cursor c = page_cursor_at(m, over->va);

	for (uint64_t va = over->va, until; va < over_end(over); va = until) {
		const struct vma *v = layout_find(&m->vmas, m->nreal, va);
		struct fill f = {.va = va, .vma = v, .writable = v && v->prot & PROT_WRITE};

		until = over_end(over);
		if (!v || v->start > va) { /* lent */
			until = v ? MIN(until, v->start) : until;
			continue;
		}
		until = MIN(until, v->end);
		f.src = own_page(&c, va, &until);
		f.npages = (until - va) / PAGE_LEN;
		if (f.src)
			add_fill(p, &f);
		else
			add_drop(p, va, until);
	}
}

/* What of a mapping was never the task's own. */
static void plan_unmap_lent(struct mem_plan *p, const struct rmem *m, const struct vma *held)
{
	for (uint64_t va = held->start, end; va < held->end; va = end) {
		const struct vma *v = layout_find(&m->vmas, m->nreal, va);

		if (v && v->start <= va) {
			end = v->end;
			continue;
		}
		end = v ? MIN(held->end, v->start) : held->end;
		*vec_push(&p->unmap) = (struct range){va, end};
	}
}

void mem_plan_own_pages(struct mem_plan *p, const struct rmem *m)
{
	*p = (struct mem_plan){0};
	vec_foreach (held, &m->held)
		plan_unmap_lent(p, m, held);
	vec_foreach (over, &m->over)
		plan_own_pages(p, m, over);
}

void mem_plan_done(struct mem_plan *p)
{
	vec_done(&p->unmap);
	vec_done(&p->keep);
	vec_done(&p->map);
	vec_done(&p->drop);
	vec_done(&p->fill);
}
