/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be done to an address space to make it a task's: a pure function of two images, the
 * task's and that of the process whose copy it starts as.
 */
#pragma once

#include "mem/restore.h"

struct range {
	uint64_t start, end;
};
typedef VEC(struct range) range_vec;

/* Pages to be written. */
struct fill {
	uint64_t va, npages;
	const uint8_t *src;
	const struct vma *vma;
	bool fresh;    /* nothing is there yet, as userfaultfd requires */
	bool huge;     /* came from huge pages; may be a part of one */
	bool writable; /* at that time, whatever it is in the end */
};

/* An inherited mapping that stays, from v->start on. */
struct keep {
	const struct vma *v, *base;
	uint64_t end; /* of what is inherited; the rest up to v->end is to be grown */
};

/* A mapping to be made. */
struct map_new {
	const struct vma *v;
	/*
	 * It isn't writable but has pages: it was once. So it is mapped writable, and that is taken
	 * away when it is filled. Besides being quicker to fill it then is accounted as memory in
	 * use (VM_ACCOUNT) again, which keeps the kernel from merging it with a neighbour that
	 * never was.
	 */
	bool was_writable;
};

struct mem_plan {
	range_vec unmap;	 /* inherited, not the task's */
	VEC(struct keep) keep;	 /* inherited and the task's; ascending */
	VEC(struct map_new) map; /* ascending */
	range_vec drop;		 /* inherited pages that the task doesn't have */
	VEC(struct fill) fill;	 /* ascending */
	uint64_t pages_compared, pages_shared;
};

/* Walks the pages that a task has while its children are cloned, along ascending addresses. */
struct page_cursor {
	const struct rmem *m;
	size_t piece, over;
	bool huge; /* the last answer */
};
struct page_cursor page_cursor_at(const struct rmem *m, uint64_t va);
/* The bytes of the page at `va`, or NULL; *until is lowered to where that answer ends. */
const uint8_t *page_cursor_get(struct page_cursor *c, uint64_t va, uint64_t *until);

/* `base` may be NULL (an empty address space). Both must outlive the plan. */
void mem_plan_make(struct mem_plan *p, const struct rmem *m, const struct rmem *base);
/* The mappings that a task has while its children are cloned. */
struct held {
	const struct vma *vmas;
	size_t n;
};
static inline struct held mem_held(const struct rmem *m)
{
	return m->held.len ? (struct held){m->held.data, m->held.len}
			   : (struct held){m->vmas.data, m->nreal};
}
/* The one that holds `at`, or the first one behind it; NULL if none. */
const struct vma *mem_held_find(const struct rmem *m, uint64_t at);
/* Gives the parent what only its children have and share. Before any plan is made. */
void mem_lend(struct rmem *parent, const struct rmem *const *children, size_t n);
/*
 * From what the task has for its children to its own: only drops, fills, and unmaps of what was
 * lent.
 */
void mem_plan_own_pages(struct mem_plan *p, const struct rmem *m);
void mem_plan_done(struct mem_plan *p);

/* The flags of mlock2() for a mapping with MAP_LOCKED. */
unsigned int mem_plan_mlock(const struct rmem *m, const struct vma *v);
/*
 * mlock2() sets the lock, then brings in the pages, and fails with ENOMEM if there is one that it
 * can't get: of PROT_NONE memory, or behind the end of a file. The lock is there all the same.
 */
static inline bool mem_mlock_may_fail(const struct vma *v)
{
	return !v->prot || vma_needs_file(v);
}

/* The kernel makes and unmakes these areas by itself: see finish. */
static inline bool vma_is_kernels(const struct vma *v)
{
	return v->status & (VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL);
}
