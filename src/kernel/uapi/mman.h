/* SPDX-License-Identifier: Apache-2.0 */
/* Memory management constants newer than Linux 6.1, as the kernel's headers name them. */
#pragma once

#include <linux/types.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* 6.11: instead of MAP_PRIVATE */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#define MAP_HUGE_MASK  0x3f
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* 6.1 */
#endif

#ifdef SYS_cachestat
#include <linux/mman.h>
#else
#define SYS_cachestat 451 /* 6.5 */
struct cachestat_range {
	__u64 off;
	__u64 len;
};
struct cachestat {
	__u64 nr_cache;
	__u64 nr_dirty;
	__u64 nr_writeback;
	__u64 nr_evicted;
	__u64 nr_recently_evicted;
};
#endif
_Static_assert(sizeof(struct cachestat) == 40, "struct cachestat");
