/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of an address space, as the kernel shows them and as the image records them.
 * Format facts: ../shared/formats/IMAGES.md section 6.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "image/vma_status.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vma {
	uint64_t start, end;
	uint64_t pgoff; /* bytes into the file or object */
	uint64_t shmid; /* file id, or shmid: IMAGES.md 6.1. Set by the engine for mapped objects */
	uint32_t prot;	/* PROT_* */
	uint32_t flags; /* MAP_* */
	uint32_t status; /* VMA_* above */
	uint64_t madv;	 /* bit N: madvise(N) */
	int64_t fdflags; /* O_RDONLY/O_WRONLY/O_RDWR of the mapped file, -1: none */
	/* Only at dump: what is mapped. */
	uint64_t ino;
	dev_t dev;	  /* as in /proc/PID/maps: st_dev of the superblock */
	const char *path; /* as in maps, unescaped; NULL for none */
};

typedef VEC(struct vma) vma_vec;

static inline bool vma_is(const struct vma *v, uint32_t bits)
{
	return (v->status & bits) == bits;
}
/* Its pages belong to one address space: they are in the task's own pagemap. */
static inline bool vma_is_private(const struct vma *v)
{
	return (vma_is(v, VMA_AREA_REGULAR) &&
		(v->status & (VMA_ANON_PRIVATE | VMA_FILE_PRIVATE))) ||
	       (v->status & (VMA_AREA_SHSTK | VMA_AREA_AIORING));
}
/* It needs a file entry: any mapping of a file, of a memfd, or of anonymous shared memory. */
static inline bool vma_needs_file(const struct vma *v)
{
	return v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED);
}
