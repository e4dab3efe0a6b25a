/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space as a source of pages: found ranges and vmas, both ascending, walked together.
 *
 * Never in an image: [vvar] (the kernel's), droppable memory (its contents may vanish at any
 * time, which the program has to expect), pages of files and of shared memory (written once by
 * their owner). The vDSO is written whole although its pages are the kernel's: a restore compares
 * them with its own kernel's.
 */
#include "mem/source.h"

#include "base/auto.h"
#include "image/pages.h"
#include "kernel/uapi/mman.h"
#include "mem/pagescan.h"

#define PAGE 4096u

struct space_source {
	struct page_source base;
	struct pagescan scan;
	const struct vma *vma, *end; /* not yet done */
	uint64_t at;		     /* done up to here */
	struct pagescan_region found;
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

static void make_run(struct space_source *s, uint64_t start, uint64_t end, struct mem_run *ret)
{
	*ret = (struct mem_run){
		.start = start,
		.npages = (end - start) / PAGE,
		.flags = run_flags(s->vma),
		.readable = s->vma->prot & PROT_READ,
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
		while (s->found.end <= start) {
			int r = pagescan_next(&s->scan, &s->found, err);

			TRY(r);
			if (r == 0) /* nothing more, but a vDSO may follow */
				s->found.start = s->found.end = UINT64_MAX;
		}
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

	pagescan_done(&s->scan);
	free(s);
}

int space_source_new(const struct target *t, const struct vma *vmas, size_t nvmas,
		     struct page_source **ret, struct err *err)
{
	auto_free struct space_source *s = xcalloc(1, sizeof(*s));

	s->base = (struct page_source){.next = next, .free = free_source};
	s->vma = vmas;
	s->end = vmas + nvmas;
	TRY(pagescan_init(&s->scan, t, PAGESCAN_DATA, PAGESCAN_PLAIN, vmas, nvmas, err));
	*ret = &TAKE_PTR(s)->base;
	return 0;
}
