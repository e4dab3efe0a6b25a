/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What moves between page sources and page sinks: runs of pages of one address space.
 *
 *	source (an address space with its tracker and parent images) --> runs --> sink (image files,
 *	later: a page server)
 *
 * A source knows which pages there are and how each is to be treated, and nothing of where they
 * go; a sink knows how to get bytes to their place, and nothing of why.
 */
#pragma once

#include "base/err.h"
#include "image/pages.h"
#include "mem/vma.h"

/* A run lies inside one vma. */
struct mem_run {
	uint64_t start;
	uint64_t npages;
	uint32_t flags; /* PE_* of image/pages.h */
	bool readable;	/* the program itself may read it: no need for /proc/PID/mem */
	uint32_t owner; /* PE_COW: the vpid of the task that has these pages */
	bool huge;	/* whole huge pages */
};

/* All of it, as it is recorded. */
static inline struct page_run run_record(const struct mem_run *run)
{
	return (struct page_run){
		.vaddr = run->start,
		.npages = run->npages,
		.flags = run->flags,
		.owner = run->owner,
		.huge = run->huge,
	};
}

struct page_source {
	/* 1 and the next run, ascending; 0 at the end. */
	int (*next)(struct page_source *s, struct mem_run *ret, struct err *err);
	void (*free)(struct page_source *s);
};

/* The one place that decides how pages of a vma are recorded: PE_* for it. */
uint32_t run_flags(const struct vma *v);
