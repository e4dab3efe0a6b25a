/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Map from numbers (pids, inode numbers, ids) to indices: open addressing, grows, no removal.
 *
 *	struct map m = {0};
 *	map_put(&m, pid, i);
 *	size_t i = map_get(&m, pid);	(MAP_NONE: isn't there)
 *	map_done(&m);
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MAP_NONE SIZE_MAX

struct map_slot;
struct map {
	struct map_slot *slots;
	size_t len, cap; /* cap is a power of two, or 0 */
};

/* Replaces what the key had. */
void map_put(struct map *m, uint64_t key, size_t value);
size_t map_get(const struct map *m, uint64_t key);
void map_done(struct map *m);
