/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a process that runs on meanwhile, into pagemap-/pages- images: a pre-dump. */
#pragma once

#include "image/store.h"
#include "mem/dump.h"
#include "mem/maps.h"
#include "mem/track.h"

struct running_opts {
	const struct img_dir *dir;
	struct page_store
		*parent; /* what unwritten pages are left to; NULL: everything is copied */
};

/*
 * Begins a new round of the tracker (NULL: none) and copies what was written in the last one. What
 * changes under its hands is skipped: the next round has it, as it was written since. `space` are
 * the mappings as they were a moment ago.
 *
 * soft-dirty: the process stands still while it is scanned; *stopped_us grows by that time.
 * The process may end meanwhile, that is no error.
 */
MUST_USE int running_write(const struct running_opts *o, struct target *t, struct tracker *tracker,
			   const vma_vec *vmas, struct mem_stats *stats, uint64_t *stopped_us,
			   struct err *err);
