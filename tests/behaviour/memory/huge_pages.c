/* SPDX-License-Identifier: Apache-2.0 */
/* Memory in transparent huge pages, whole ones and one with a hole punched in: all bytes right. */
#include "maps.h"

#define HUGE (2 * MIB)

BEHAVE("transparent huge pages")
{
	char *area = map_new(6 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *p = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	int bad = 0;

	if (madvise(p, 5 * HUGE, MADV_HUGEPAGE) < 0)
		behave_skip("a kernel without huge pages");
	pattern_fill(p, 4 * HUGE, 1);
	MUST(madvise(p + HUGE + 5 * PAGE, 3 * PAGE, MADV_DONTNEED) == 0);
	p[4 * HUGE] = 1; /* one byte; the rest of that huge page is zeros */
	FREEZE();
	CHECK(pattern_is(p, HUGE, 1), "the first huge page");
	CHECK(is_zero(p + HUGE + 5 * PAGE, 3 * PAGE), "the hole has bytes");
	for (size_t i = 0; i < 4 * HUGE / 8; i++) {
		size_t page = i * 8 / PAGE;

		if (page < HUGE / PAGE + 5 || page >= HUGE / PAGE + 8)
			bad += ((uint64_t *)p)[i] != pattern_word(i, 1);
	}
	CHECK_EQ(bad, 0);
	CHECK(p[4 * HUGE] == 1 && is_zero(p + 4 * HUGE + 8, HUGE - 8), "the last huge page");
	CHECK(map_has_flag(p, "hg"), "MADV_HUGEPAGE is lost");
}
