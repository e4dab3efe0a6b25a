/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO of restored tasks: the kernel's own at the old address where it is the same, otherwise
 * the old bytes with jumps to the kernel's.
 */
#pragma once

#include "mem/restore.h"
#include "remote/batch.h"

/* The vDSO of this kernel, as torpor has it itself. */
struct vdso_local {
	const uint8_t *bytes; /* NULL: none (vdso=0) */
	uint64_t len;
	uint64_t vvar_len; /* [vvar] right in front of it; 0: none there */
};
MUST_USE int vdso_local_find(struct vdso_local *ret, struct err *err);

/*
 * Gives the task its vDSO. The plain case only appends calls to `b` (with batch_must); another
 * kernel's vDSO is built at once.
 */
MUST_USE int vdso_restore(struct target *t, const struct rmem *m, const struct vdso_local *local,
			  struct batch *b, struct err *err);

/*
 * Lets the functions in `old` (a vDSO image of some kernel) jump to those of the local one, which
 * is mapped at `at` in the task. Returns how many.
 */
size_t vdso_redirect(uint8_t *old, uint64_t old_len, const struct vdso_local *local, uint64_t at);
