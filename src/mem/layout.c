/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/layout.h"

#include "base/auto.h"

#include <stdlib.h>

const struct vma *layout_find(const vma_vec *vmas, size_t n, uint64_t at)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (vmas->data[mid].end <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n ? &vmas->data[low] : NULL;
}

struct used {
	uint64_t start, end;
};

static int by_start(const void *a, const void *b)
{
	uint64_t x = ((const struct used *)a)->start, y = ((const struct used *)b)->start;

	return x < y ? -1 : x > y;
}

uint64_t layout_widest_hole(const vma_vec *const *lists, size_t n, uint64_t len)
{
	VEC(struct used) used = {0};
	uint64_t at = 0x10000, best = 0, best_len = 0;

	for (size_t i = 0; i < n; i++)
		vec_foreach (v, lists[i])
			*vec_push(&used) = (struct used){v->start, v->end};
	if (used.len)
		qsort(used.data, used.len, sizeof(*used.data), by_start);
	*vec_push(&used) = (struct used){USER_END, USER_END};
	vec_foreach (u, &used) {
		if (u->start > at && u->start - at > best_len) {
			best = at;
			best_len = u->start - at;
		}
		at = MAX(at, u->end);
	}
	vec_done(&used);
	if (best_len < len)
		return 0;
	return (best + (best_len - len) / 2) & ~(PAGE_LEN - 1);
}
