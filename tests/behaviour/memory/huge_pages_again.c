/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was in transparent huge pages is so again, whatever made them: advice, or MADV_COLLAPSE
 * without any; with neighbours that are single pages of the same mapping.
 */
#include "maps.h"

#define HUGE (2 * MIB)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* 6.1 */
#endif

static char *aligned(size_t len)
{
	char *area = map_new(len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	return (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
}

BEHAVE("huge pages where there were some")
{
	char *advised = aligned(8 * HUGE), *collapsed = aligned(6 * HUGE);
	long before[2];

	if (madvise(advised, 8 * HUGE, MADV_HUGEPAGE) < 0)
		behave_skip("a kernel without huge pages");
	pattern_fill(advised, 4 * HUGE, 1);
	/* A single page, and it stays one. */
	MUST(madvise(advised + 5 * HUGE, HUGE, MADV_NOHUGEPAGE) == 0);
	advised[5 * HUGE + 3 * PAGE] = 7;
	pattern_fill(collapsed + 3 * PAGE, 4 * HUGE, 2);
	if (madvise(collapsed, 5 * HUGE, MADV_COLLAPSE) < 0 && errno == EINVAL)
		behave_skip("a kernel without MADV_COLLAPSE");
	MUST(madvise(collapsed + HUGE + PAGE, PAGE, MADV_DONTNEED) == 0);
	before[0] = map_kib(advised, "AnonHugePages");
	before[1] = map_kib(collapsed, "AnonHugePages");
	if (before[0] < 2048 || before[1] < 2048)
		behave_skip("there is no room for huge pages");
	FREEZE();
	CHECK(pattern_is(advised, 4 * HUGE, 1), "bytes of advised memory");
	CHECK(pattern_is(collapsed + 3 * PAGE, HUGE - 2 * PAGE, 2), "bytes of collapsed memory");
	CHECK(is_zero(collapsed + HUGE + PAGE, PAGE), "the hole has bytes");
	CHECK_EQ(advised[5 * HUGE + 3 * PAGE], 7);
	CHECK_EQ(map_kib(advised, "AnonHugePages"), before[0]);
	CHECK_EQ(map_kib(collapsed, "AnonHugePages"), before[1]);
	CHECK_EQ(map_kib(advised + 5 * HUGE, "Rss"), 4);
	CHECK(!map_has_flag(collapsed, "hg"), "advice that nobody gave");
}
