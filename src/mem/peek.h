/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads pages of a task from outside, and leaves them what they are.
 *
 * process_vm_readv() pins what it reads, and the kernel takes a page that several tasks share since
 * a fork() apart before it lets somebody pin it: the reader would get each of them a copy of its
 * own, and split huge pages into the bargain. /proc/PID/mem doesn't pin. It is slower, and so is
 * left to the pages that are shared (bit 56 of their pagemap entry isn't set), or that the program
 * itself may not read.
 */
#pragma once

#include "base/auto.h"
#include "remote/target.h"

struct peeker {
	const struct target *target;
	int mem, pagemap;
};

struct peek_page {
	uint64_t va;
	bool readable; /* see struct mem_run */
	bool direct;   /* peek_pages' own */
	bool got;
};

/* Works in any thread. What can't be opened shows later, as pages that can't be read. */
void peeker_open(struct peeker *p, const struct target *t);
void peeker_close(struct peeker *p);

static inline void auto_peeker_(struct peeker *p)
{
	peeker_close(p);
}
#define auto_peeker __attribute__((cleanup(auto_peeker_)))

/*
 * Reads the pages into buf, side by side; sets `got` of those that were read. The task may be
 * running and change its address space meanwhile. -ESRCH if it is gone, otherwise 0.
 */
MUST_USE int peek_pages(const struct peeker *p, struct peek_page *pages, size_t n, uint8_t *buf);
