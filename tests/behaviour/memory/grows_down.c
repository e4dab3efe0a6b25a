/* SPDX-License-Identifier: Apache-2.0 */
/* A MAP_GROWSDOWN mapping has its bytes, its flag, and still grows when touched below. */
#include "maps.h"

BEHAVE("MAP_GROWSDOWN")
{
	/* The kernel keeps a gap of 256 pages below such a mapping free of others. */
	char *area = map_new(1024 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
	char *p = area + 1000 * PAGE;
	struct map before, after;

	MUST(munmap(area, 1024 * PAGE) == 0);
	MUST(mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0) == p);
	pattern_fill(p, 4 * PAGE, 1);
	MUST(touch_write(p - 2 * PAGE) == 0);
	memset(p - 2 * PAGE, 5, 2 * PAGE);
	MUST(map_at(p, &before) && before.start == (uintptr_t)p - 2 * PAGE);
	FREEZE();
	CHECK(map_at(p, &after) && after.start == before.start && after.end == before.end,
	      "at %lx-%lx, was %lx-%lx", (long)after.start, (long)after.end, (long)before.start,
	      (long)before.end);
	CHECK(map_has_flag(p, "gd"), "the flag is lost");
	CHECK(pattern_is(p, 4 * PAGE, 1) && p[-1] == 5 && p[-2 * (long)PAGE] == 5, "other bytes");
	CHECK(touch_write(p - 20 * PAGE) == 0, "it doesn't grow any more");
	CHECK(is_zero(p - 20 * PAGE, 17 * PAGE), "new pages aren't zero");
}
