/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mark of a task that was restored on another kernel: its own old vDSO is plain memory whose
 * entry points jump to the kernel's vDSO, which is parked elsewhere and starts with this
 * (IMAGES.md 23.7). Memory format.
 */
#pragma once

#include <stdint.h>

#define VDSO_MARK_SIGNATURE UINT64_C(0x4f53447655495243)
#define VDSO_MARK_VERSION   3
#define VDSO_MARK_NO_ADDR   UINT64_MAX

struct vdso_mark {
	uint64_t signature;
	uint64_t orig_vdso;
	uint64_t version;
	uint64_t orig_vvar; /* VDSO_MARK_NO_ADDR: none */
	uint64_t rt_vvar;   /* [vvar] of the parked one */
};
