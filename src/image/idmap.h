/* SPDX-License-Identifier: Apache-2.0 */
/* Ids to numbers: a hash table that only grows. Start with {0}. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap {
	struct idmap_slot {
		uint64_t id;
		uint32_t value;
		bool used;
	} * slots;
	size_t n, size;
};

/* Where the value of a known id is, or NULL. Valid until the next id is added. */
uint32_t *idmap_find(const struct idmap *m, uint64_t id);
/* False, and nothing changed, if it is known already. */
bool idmap_add(struct idmap *m, uint64_t id, uint32_t value);
void idmap_done(struct idmap *m);
