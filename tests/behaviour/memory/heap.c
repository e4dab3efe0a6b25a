/* SPDX-License-Identifier: Apache-2.0 */
/* The heap: contents, its end, and sbrk and malloc going on where they were. */
#include "maps.h"

#include <unistd.h>

enum { LEN = 100 * PAGE };

BEHAVE("heap and brk")
{
	char *list[500], *p = sbrk(LEN), *end;
	int bad = 0;
	struct map m;

	MUST(p != (void *)-1);
	pattern_fill(p, LEN, 1);
	for (int i = 0; i < 500; i++) {
		list[i] = malloc((size_t)i + 20);
		MUST(list[i]);
		memset(list[i], i, (size_t)i + 20);
	}
	for (int i = 0; i < 500; i += 3)
		free(list[i]);
	end = sbrk(0);
	FREEZE();
	CHECK(sbrk(0) == end, "the heap ends at %p, was %p", sbrk(0), (void *)end);
	CHECK(pattern_is(p, LEN, 1), "other bytes on the heap");
	CHECK(map_at(p, &m) && strcmp(m.path, "[heap]") == 0, "the heap is called '%s'", m.path);
	CHECK(sbrk(LEN) == end, "sbrk: %m");
	CHECK(is_zero(end, LEN), "new heap isn't zero");
	memset(end, 1, LEN);
	CHECK(sbrk(-(long)LEN) == end + LEN, "the heap doesn't shrink");
	for (int i = 1; i < 500; i++) {
		if (i % 3 == 0)
			continue;
		for (int j = 0; j < i + 20; j++)
			bad += list[i][j] != (char)i;
		free(list[i]);
	}
	CHECK_EQ(bad, 0);
}
