/* SPDX-License-Identifier: Apache-2.0 */
#include "image/idmap.h"

#include "base/arena.h"

#include <stdlib.h>

/* Its own slot, or the free one where it belongs. The table is never full. */
static struct idmap_slot *slot_of(const struct idmap *m, uint64_t id)
{
	/* Fibonacci hashing: ids are often consecutive, or multiples of a power of two. */
	size_t at = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (m->size - 1);

	while (m->slots[at].used && m->slots[at].id != id)
		at = (at + 1) & (m->size - 1);
	return &m->slots[at];
}

uint32_t *idmap_find(const struct idmap *m, uint64_t id)
{
	struct idmap_slot *s = m->size ? slot_of(m, id) : NULL;

	return s && s->used ? &s->value : NULL;
}

static void grow(struct idmap *m)
{
	struct idmap bigger = {.size = m->size ? m->size * 2 : 64};

	bigger.slots = xcalloc(bigger.size, sizeof(*bigger.slots));
	for (size_t i = 0; i < m->size; i++)
		if (m->slots[i].used)
			*slot_of(&bigger, m->slots[i].id) = m->slots[i];
	bigger.n = m->n;
	free(m->slots);
	*m = bigger;
}

bool idmap_add(struct idmap *m, uint64_t id, uint32_t value)
{
	struct idmap_slot *s;

	if (2 * (m->n + 1) > m->size)
		grow(m);
	s = slot_of(m, id);
	if (s->used)
		return false;
	*s = (struct idmap_slot){.id = id, .value = value, .used = true};
	m->n++;
	return true;
}

void idmap_done(struct idmap *m)
{
	free(m->slots);
	*m = (struct idmap){0};
}
