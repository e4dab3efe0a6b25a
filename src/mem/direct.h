/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to write past the page cache (O_DIRECT): see direct.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum direct_use { DIRECT_NEVER, DIRECT_WHERE_IT_PAYS, DIRECT_ALWAYS };

/* What the page cache holds, and how much of it may be unwritten. In bytes. */
struct cache_state {
	uint64_t unwritten;  /* dirty, or on its way to a disk */
	uint64_t dirtyable;  /* memory that may hold such pages */
	uint64_t limit;	     /* vm.dirty_bytes; 0: */
	uint64_t percent;    /* vm.dirty_ratio */
	uint64_t background; /* vm.dirty_background_bytes; 0: */
	uint64_t background_percent;
};

/* Negative errno if /proc doesn't say. */
int cache_state_read(struct cache_state *ret);
/* Would so many more bytes have to wait for others to be written? */
bool direct_pays(const struct cache_state *c, uint64_t bytes);
/* Is the file on a file system that writes past the cache? */
bool direct_is_possible(int fd);
