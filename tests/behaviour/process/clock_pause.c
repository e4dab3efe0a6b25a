/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time that the program was gone didn't pass for it: its monotonic clock falls behind the wall
 * clock by that much, so that an absolute timeout on it isn't over all of a sudden.
 */
#include "behave.h"

#include <time.h>

static int64_t now_us(clockid_t clock)
{
	struct timespec t;

	SYS(clock_gettime(clock, &t));
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* Between dump and restore two programs are started and the tree is looked for: over 1 ms. */
BEHAVE("the monotonic clock stands still while the program is gone", .modes = PLAIN | REPEAT)
{
	int64_t behind = now_us(CLOCK_REALTIME) - now_us(CLOCK_MONOTONIC), boot, grown;

	boot = now_us(CLOCK_REALTIME) - now_us(CLOCK_BOOTTIME);
	FREEZE();
	grown = now_us(CLOCK_REALTIME) - now_us(CLOCK_MONOTONIC) - behind;
	CHECK(grown > 1000, "the monotonic clock fell behind by %lld us only", (long long)grown);
	grown = now_us(CLOCK_REALTIME) - now_us(CLOCK_BOOTTIME) - boot;
	CHECK(grown > 1000, "the boot clock fell behind by %lld us only", (long long)grown);
}
