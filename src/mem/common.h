/* SPDX-License-Identifier: Apache-2.0 */
/* What the tasks of one restore share inside mem/. */
#pragma once

#include "base/vec.h"
#include "mem/restore.h"
#include "mem/vdso.h"

/*
 * Anonymous shared memory in its rarer form in images: vmas with VMA_ANON_SHARED and a shmid, all
 * of one shmid being one object. (The usual form is a file entry, see IMAGES.md 6.3.)
 */
struct shm_object {
	uint64_t shmid, size;
	int fd;
};
struct shm_objects {
	VEC(struct shm_object) list;
};
/* Our descriptor (the list keeps it) of an object of at least that size; filled when new. */
MUST_USE int shm_object_open(struct shm_objects *s, struct page_store *store, uint64_t shmid,
			     uint64_t size, struct err *err);
void shm_objects_done(struct shm_objects *s);

struct mem_common {
	struct page_store *store;
	struct pool *pool;
	struct shm_objects shm;
	struct vdso_local vdso;
};
