/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/store.h"
#include "mem/run.h"
#include "mem/track.h"
#include "remote/target.h"

/* What is known of the pages beside that they exist. All zero: everything is to be written. */
struct source_opts {
	enum tracker_kind tracker;
	const uint8_t *states; /* enum track_state of each vma; NULL without a tracker */
	const struct page_map
		*parent; /* unwritten pages that it has are PE_PARENT; NULL: none are */
	bool restart;	 /* the scan begins the next round (uffd-wp: page by page) */
};

/*
 * All pages of the address space that belong to the image: what pagescan finds in private vmas,
 * and the vDSO whole. The one place that decides what is PE_PRESENT and what PE_PARENT.
 *
 * The vmas (ascending, no guards) and what the options point to must outlive the source. The
 * target may run: then what is found is what was there at some moment.
 */
MUST_USE int space_source_new(const struct target *t, const struct vma *vmas, size_t nvmas,
			      const struct source_opts *o, struct page_source **ret,
			      struct err *err);
