/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PAGEMAP_SCAN ioctl of /proc/PID/pagemap (Linux 6.7; PAGE_IS_GUARD: 6.15) and the layout of
 * its 64-bit entries (Documentation/admin-guide/mm/pagemap.rst), as linux/fs.h names them.
 */
#pragma once

#include <linux/types.h>
#include <sys/ioctl.h>

#ifndef PAGEMAP_SCAN
#define PAGE_IS_WPALLOWED  (1 << 0)
#define PAGE_IS_WRITTEN	   (1 << 1)
#define PAGE_IS_FILE	   (1 << 2)
#define PAGE_IS_PRESENT	   (1 << 3)
#define PAGE_IS_SWAPPED	   (1 << 4)
#define PAGE_IS_PFNZERO	   (1 << 5)
#define PAGE_IS_HUGE	   (1 << 6)
#define PAGE_IS_SOFT_DIRTY (1 << 7)

struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#ifndef PM_SCAN_WP_MATCHING
#define PM_SCAN_WP_MATCHING   (1 << 0) /* and protect what is reported */
#define PM_SCAN_CHECK_WPASYNC (1 << 1) /* EPERM at a mapping without asynchronous protection */
#endif

#ifndef PAGE_IS_GUARD
#define PAGE_IS_GUARD (1 << 8)
#endif

_Static_assert(sizeof(struct pm_scan_arg) == 96, "struct pm_scan_arg as in Linux 6.7");

/* Entries of /proc/PID/pagemap; the kernel names them in fs/proc/task_mmu.c only. */
#define PM_PFRAME_MASK	  (((__u64)1 << 55) - 1)
#define PM_SOFT_DIRTY	  ((__u64)1 << 55)
#define PM_MMAP_EXCLUSIVE ((__u64)1 << 56) /* 4.2: mapped once */
#define PM_GUARD_REGION	  ((__u64)1 << 58) /* 6.15 */
#define PM_FILE		  ((__u64)1 << 61)
#define PM_SWAP		  ((__u64)1 << 62)
#define PM_PRESENT	  ((__u64)1 << 63)
