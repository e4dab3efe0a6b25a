/* SPDX-License-Identifier: Apache-2.0 */
/* Guard pages of MADV_GUARD_INSTALL (Linux 6.13): they bite, and can be removed again. */
#include "maps.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

enum { LEN = 64 * PAGE };

BEHAVE("guard pages by MADV_GUARD_INSTALL")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct map before, after;

	pattern_fill(p, LEN, 1);
	if (madvise(p + 4 * PAGE, PAGE, MADV_GUARD_INSTALL) < 0)
		behave_skip("this kernel has no MADV_GUARD_INSTALL");
	MUST(madvise(p + 10 * PAGE, 20 * PAGE, MADV_GUARD_INSTALL) == 0);
	MUST(madvise(p + 63 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0);
	MUST(map_at(p, &before));
	FREEZE();
	CHECK(map_at(p, &after) && after.start == before.start && after.end == before.end,
	      "guards have split the mapping");
	for (size_t i = 0; i < 64; i++) {
		bool guard = i == 4 || (i >= 10 && i < 30) || i == 63;

		CHECK(touch_read(p + i * PAGE) == (guard ? SIGSEGV : 0), "page %zu: signal %d", i,
		      touch_read(p + i * PAGE));
	}
	CHECK(pattern_is(p, 4 * PAGE, 1), "other bytes");
	CHECK(madvise(p + 4 * PAGE, PAGE, MADV_GUARD_REMOVE) == 0, "remove: %m");
	CHECK(touch_write(p + 4 * PAGE) == 0 && is_zero(p + 4 * PAGE, PAGE),
	      "a guard that was removed");
}
