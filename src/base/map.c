/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/arena.h"

#include <stdbool.h>
#include <stdlib.h>

struct map_slot {
	uint64_t key;
	size_t value;
	bool used;
};

/* Fibonacci hashing: neighbouring pids spread over the table. */
static size_t home_of(const struct map *m, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (m->cap - 1);
}

static struct map_slot *find(const struct map *m, uint64_t key)
{
	size_t i = home_of(m, key);

	while (m->slots[i].used && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void grow(struct map *m)
{
	struct map old = *m;

	m->cap = old.cap ? old.cap * 2 : 64;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].used)
			*find(m, old.slots[i].key) = old.slots[i];
	free(old.slots);
}

void map_put(struct map *m, uint64_t key, size_t value)
{
	struct map_slot *s;

	if (m->len * 2 >= m->cap)
		grow(m);
	s = find(m, key);
	m->len += !s->used;
	*s = (struct map_slot){.key = key, .value = value, .used = true};
}

size_t map_get(const struct map *m, uint64_t key)
{
	const struct map_slot *s;

	if (!m->cap)
		return MAP_NONE;
	s = find(m, key);
	return s->used ? s->value : MAP_NONE;
}

void map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}
