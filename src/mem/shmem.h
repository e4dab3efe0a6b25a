/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of shared memory objects (anonymous shared memory, memfd): pagemap-shmem-<shmid>.
 */
#pragma once

#include "image/image.h"
#include "mem/dump.h"

/*
 * Writes the data of `fd` (SEEK_DATA/SEEK_HOLE; zero pages left out), up to `size`; nothing if that
 * is 0. Pages that are in the parent's images with the same bytes are left to it (`parent`: may be
 * NULL). The object may change meanwhile: what was read is written, and what was cut off is absent.
 */
MUST_USE int shmem_dump(const struct img_dir *dir, int fd, uint64_t shmid, uint64_t size,
			struct page_store *parent, struct mem_stats *stats, struct err *err);
/* Fills a fresh object of that size. An absent pagemap means all zero. */
MUST_USE int shmem_fill(struct page_store *store, int fd, uint64_t shmid, uint64_t size,
			struct err *err);
/*
 * A fresh object of MAP_SHARED|MAP_ANONYMOUS kind ("/dev/zero (deleted)" in maps), read-write.
 * hugetlb_flag: 0, or MFD_HUGETLB with the size of its pages ("/anon_hugepage (deleted)").
 */
MUST_USE int shmem_create_anon(uint64_t size, uint32_t hugetlb_flag, struct err *err);
