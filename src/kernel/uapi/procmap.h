/* SPDX-License-Identifier: Apache-2.0 */
/* The PROCMAP_QUERY ioctl of /proc/PID/maps (Linux 6.11), as linux/fs.h names it. */
#pragma once

#include <linux/types.h>
#include <sys/ioctl.h>

#ifndef PROCMAP_QUERY
#define PROCMAP_QUERY_VMA_SHARED  0x08
#define PROCMAP_QUERY_FILE_BACKED 0x20

struct procmap_query {
	__u64 size;
	__u64 query_flags; /* what the mapping must be */
	__u64 query_addr;
	__u64 vma_start;
	__u64 vma_end;
	__u64 vma_flags;
	__u64 vma_page_size;
	__u64 vma_offset;
	__u64 inode;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 vma_name_size;
	__u32 build_id_size;
	__u64 vma_name_addr;
	__u64 build_id_addr;
};
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
#endif
_Static_assert(sizeof(struct procmap_query) == 104, "as the kernel has it");
