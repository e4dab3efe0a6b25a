/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a process that runs on meanwhile, into pagemap-/pages- images: a pre-dump. */
#pragma once

#include "image/store.h"
#include "mem/cow.h"
#include "mem/dump.h"
#include "mem/maps.h"
#include "mem/track.h"

struct running_opts {
	const struct img_dir *dir;
	struct page_store *parent; /* what unwritten pages are left to; NULL: all is copied */
	/* Pages that several tasks of the tree seemed to share a moment ago; NULL: none did. */
	const struct cow_map *cow;
	struct target **tasks; /* of the tree; `cow` names them by their places here */
	bool *used_cow;	       /* set if there are PE_COW entries */
};

/*
 * Begins a new round of the tracker (NULL: none) and copies what was written in the last one. What
 * changes under its hands is skipped: the next round has it, as it was written since. `vmas` are
 * the mappings as they were a moment ago. The task is o->tasks[task]; those before it are done.
 *
 * soft-dirty: the process stands still while it is scanned; *stopped_us grows by that time.
 * The process may end meanwhile, that is no error.
 */
MUST_USE int running_write(const struct running_opts *o, size_t task, struct tracker *tracker,
			   const vma_vec *vmas, struct mem_stats *stats, uint64_t *stopped_us,
			   struct err *err);
