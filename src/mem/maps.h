/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of a running process, from /proc/PID/maps alone: quick, and without smaps' walk through
 * the page tables, which keeps the program's own mmap() waiting. Enough to track, scan and copy;
 * not enough for an image of the mappings themselves (mem_collect).
 */
#pragma once

#include "base/vec.h"
#include "mem/vma.h"
#include "remote/target.h"

/* A shared memory object that is mapped somewhere: an inode on the kernel's own tmpfs. */
struct shared_object {
	uint64_t ino;
	uint64_t start, end; /* one of its mappings */
	pid_t pid;	     /* of this process */
};
typedef VEC(struct shared_object) shared_vec;

struct maps {
	vma_vec vmas;	   /* whose pages are the process's own, ascending; without paths */
	shared_vec shared; /* one mapping of each object that wasn't in there yet */
};

/* What has to be known of this machine. */
struct maps_ctx {
	dev_t shm_dev;
	VEC(dev_t) hugetlb_devs;
};
MUST_USE int maps_ctx_init(struct maps_ctx *ctx, const struct target *t, struct err *err);
void maps_ctx_done(struct maps_ctx *ctx);

/* The vmas are new, to the objects some are added. */
MUST_USE int maps_read(const struct maps_ctx *ctx, const struct target *t, struct maps *ret,
		       struct err *err);
void maps_done(struct maps *m);

/* One line of maps. */
void maps_take(const struct maps_ctx *ctx, const char *line, pid_t pid, struct maps *m);
/* One line of mountinfo: *ret is the device if it is a hugetlbfs. */
bool maps_hugetlb_mount(const char *line, dev_t *ret);
