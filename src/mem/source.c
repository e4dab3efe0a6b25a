/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space as a source of pages: found ranges and vmas, both ascending, walked together.
 *
 * Never in an image: [vvar] (the kernel's), droppable memory (its contents may vanish at any
 * time, which the program has to expect), pages of files and of shared memory (written once by
 * their owner). The vDSO is written whole although its pages are the kernel's: a restore compares
 * them with its own kernel's.
 *
 * A page is left to the parent (PE_PARENT) if the tracker says that it is unwritten since then and
 * the parent has it. Neither is believed without the other: what a pre-dump couldn't read, or what
 * came into a tracked mapping some other way, is written.
 *
 * A scan that begins the next round leaves out what isn't tracked, so that vmas are scanned in
 * stretches: those that are tracked, those that aren't.
 */
#include "mem/source.h"

#include "base/auto.h"
#include "image/pages.h"
#include "kernel/uapi/mman.h"
#include "mem/pagescan.h"

#define PAGE	  4096u
#define HUGE_PAGE (512u * PAGE)

struct space_source {
	struct page_source base;
	struct source_opts o;
	const struct target *target;
	struct pagescan scan;
	bool scanning;
	const struct vma *vmas, *vma, *end; /* vma: not yet done */
	const struct vma *stretch_end;	    /* the scan is good up to here */
	uint64_t at;			    /* done up to here */
	struct pagescan_region found;
	size_t piece; /* of the parent: all before it end at or before `at` */
};

uint32_t run_flags(const struct vma *v)
{
	const uint32_t not_lazy = VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL;

	if (vma_is(v, VMA_ANON_PRIVATE) && !(v->status & not_lazy) &&
	    !(v->flags & (MAP_LOCKED | MAP_HUGETLB)))
		return PE_PRESENT | PE_LAZY;
	return PE_PRESENT;
}

static bool has_content(const struct vma *v)
{
	return vma_is_private(v) && !vma_is(v, VMA_AREA_VVAR) &&
	       (v->flags & MAP_TYPE) != MAP_DROPPABLE;
}

static enum track_state state_of(const struct space_source *s, const struct vma *v)
{
	return s->o.tracker && s->o.states ? s->o.states[v - s->vmas] : TRACK_OFF;
}

/* --------------------------------------------------------------- scanning */

static enum pagescan_mode mode_for(const struct space_source *s, const struct vma *v)
{
	if (s->o.restart && state_of(s, v) == TRACK_OFF)
		return PAGESCAN_PLAIN;
	return tracker_scan_mode(s->o.tracker, s->o.restart);
}

/* Scans from s->vma on, as far as one mode goes. */
static int begin_stretch(struct space_source *s, struct err *err)
{
	enum pagescan_mode mode = mode_for(s, s->vma);
	const struct vma *v = s->vma;

	while (v < s->end && (!has_content(v) || mode_for(s, v) == mode))
		v++;
	s->stretch_end = v;
	s->found = (struct pagescan_region){0};
	if (s->scanning)
		pagescan_done(&s->scan);
	s->scanning = false;
	TRY(pagescan_init(&s->scan, s->target, PAGESCAN_DATA, mode, s->vma, (size_t)(v - s->vma),
			  err));
	s->scanning = true;
	return 0;
}

/* The first found range that ends behind `start`; at UINT64_MAX if there is none. */
static int find(struct space_source *s, uint64_t start, struct err *err)
{
	while (s->found.end <= start) {
		int r = pagescan_next(&s->scan, &s->found, err);

		TRY(r);
		if (r == 0) /* nothing more, but a vDSO may follow */
			s->found.start = s->found.end = UINT64_MAX;
	}
	return 0;
}

/* ------------------------------------------------------------------- runs */

/* How far from `start` on the parent has all pages (*ret_has), or none. At most to `end`. */
static uint64_t parent_extent(struct space_source *s, uint64_t start, uint64_t end, bool *ret_has)
{
	const struct page_map *m = s->o.parent;
	uint64_t at = start;

	while (s->piece < m->n &&
	       m->pieces[s->piece].vaddr + m->pieces[s->piece].npages * PAGE <= start)
		s->piece++;
	*ret_has = s->piece < m->n && m->pieces[s->piece].vaddr <= start;
	if (!*ret_has)
		return s->piece < m->n ? MIN(end, m->pieces[s->piece].vaddr) : end;
	for (size_t i = s->piece; i < m->n && m->pieces[i].vaddr <= at && at < end; i++)
		at = m->pieces[i].vaddr + m->pieces[i].npages * PAGE;
	return MIN(at, end);
}

static void make_run(struct space_source *s, uint64_t start, uint64_t end, struct mem_run *ret)
{
	bool clean = state_of(s, s->vma) == TRACK_ON && s->o.parent && !s->found.written &&
		     !vma_is(s->vma, VMA_AREA_VDSO) && !(s->vma->flags & MAP_HUGETLB);

	if (clean)
		end = parent_extent(s, start, end, &clean);
	*ret = (struct mem_run){
		.start = start,
		.npages = (end - start) / PAGE,
		.flags = clean ? PE_PARENT : run_flags(s->vma),
		.readable = s->vma->prot & PROT_READ,
		.huge = s->found.huge && start % HUGE_PAGE == 0 && end % HUGE_PAGE == 0,
	};
	s->at = end;
}

static int next(struct page_source *base, struct mem_run *ret, struct err *err)
{
	struct space_source *s = container_of(base, struct space_source, base);

	for (; s->vma < s->end; s->vma++) {
		const struct vma *v = s->vma;
		uint64_t start = MAX(s->at, v->start);

		if (!has_content(v) || start >= v->end)
			continue;
		if (vma_is(v, VMA_AREA_VDSO)) {
			make_run(s, start, v->end, ret);
			return 1;
		}
		if (v >= s->stretch_end)
			TRY(begin_stretch(s, err));
		TRY(find(s, start, err));
		if (s->found.start >= v->end)
			continue;
		make_run(s, MAX(start, s->found.start), MIN(v->end, s->found.end), ret);
		return 1;
	}
	return 0;
}

static void free_source(struct page_source *base)
{
	struct space_source *s = container_of(base, struct space_source, base);

	if (s->scanning)
		pagescan_done(&s->scan);
	free(s);
}

int space_source_new(const struct target *t, const struct vma *vmas, size_t nvmas,
		     const struct source_opts *o, struct page_source **ret, struct err *err)
{
	struct space_source *s = xcalloc(1, sizeof(*s));

	s->base = (struct page_source){.next = next, .free = free_source};
	s->o = *o;
	s->target = t;
	s->vmas = s->vma = s->stretch_end = vmas;
	s->end = vmas + nvmas;
	*ret = &s->base;
	return 0;
}
