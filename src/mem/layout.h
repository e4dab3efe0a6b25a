/* SPDX-License-Identifier: Apache-2.0 */
/* User space of x86-64 with four-level page tables, and lookups in sorted mappings. */
#pragma once

#include "mem/vma.h"

#define PAGE_LEN   UINT64_C(4096)
#define USER_START UINT64_C(0x1000)	    /* the kernel's mmap_min_addr decides about more */
#define USER_END   UINT64_C(0x7ffffffff000) /* TASK_SIZE_MAX */

/* Among the first n vmas: the one that holds `at`, or the first one behind it; NULL if none. */
const struct vma *layout_find(const vma_vec *vmas, size_t n, uint64_t at);

/*
 * The middle of the widest range that no list uses, or 0 if it is narrower than len. As far from
 * everything as can be: stacks grow down, the heap up, and new mappings of the programs are placed
 * next to old ones.
 */
uint64_t layout_widest_hole(const vma_vec *const *lists, size_t n, uint64_t len);
