/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "mem/run.h"
#include "remote/target.h"

/*
 * All pages of the address space that belong to the image: what pagescan finds in private vmas,
 * and the vDSO whole. The vmas (ascending, no guards) must outlive the source.
 */
MUST_USE int space_source_new(const struct target *t, const struct vma *vmas, size_t nvmas,
			      struct page_source **ret, struct err *err);
