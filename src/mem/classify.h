/* SPDX-License-Identifier: Apache-2.0 */
/* From what smaps shows to what the image records: decides the kind of each mapping. */
#pragma once

#include "mem/smaps.h"
#include "mem/vma.h"

/* What classification has to know besides the line. */
struct classify_ctx {
	dev_t shm_dev; /* st_dev of the kernel's internal tmpfs: memfd, /dev/zero, SysV segments */
};

/* The device of the tmpfs that the kernel keeps for itself. */
MUST_USE int classify_shm_dev(dev_t *ret, struct err *err);

enum classify_result {
	CLASSIFY_VMA = 0,     /* *ret is set */
	CLASSIFY_UPROBES = 1, /* the kernel's own instrumentation area: not part of the program */
	CLASSIFY_DEVICE =
		2, /* *ret is set, but whether it can be mapped again depends on the node */
};

/* One of the above, or an ERR_REFUSED that names range and remedy (not the process). */
MUST_USE int classify(const struct classify_ctx *ctx, const struct smaps_entry *e, struct vma *ret,
		      struct err *err);
/* All of them. [vvar] pieces become one vma. `devices` gets the indices of CLASSIFY_DEVICE ones. */
typedef VEC(size_t) index_vec;
MUST_USE int classify_all(const struct classify_ctx *ctx, const smaps_vec *in, vma_vec *ret,
			  index_vec *devices, bool *ret_uprobes, struct err *err);
