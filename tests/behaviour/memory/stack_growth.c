/* SPDX-License-Identifier: Apache-2.0 */
/* The stack holds its frames and grows far below where it was, up to its limit, after a restore. */
#include "maps.h"

#include <sys/resource.h>

static unsigned long dig(int depth, unsigned long sum)
{
	volatile char frame[16 * 1024];

	for (size_t i = 0; i < sizeof(frame); i += 512)
		frame[i] = (char)depth;
	if (depth > 0)
		sum = dig(depth - 1, sum + (unsigned long)depth);
	for (size_t i = 0; i < sizeof(frame); i += 512) {
		if (frame[i] != (char)depth)
			return 0;
	}
	return sum;
}

/* Some frames deep, so that there is something to come back through. */
static void freeze_below(int depth)
{
	volatile char frame[4096];
	int bad = 0;

	memset((char *)frame, depth, sizeof(frame));
	if (depth > 0)
		freeze_below(depth - 1);
	else
		FREEZE();
	for (size_t i = 0; i < sizeof(frame); i++)
		bad += frame[i] != (char)depth;
	CHECK(bad == 0, "frame %d has other bytes", depth);
}

BEHAVE("deep recursion after a restore")
{
	struct rlimit limit;
	struct map m;
	int here, frames;

	MUST(getrlimit(RLIMIT_STACK, &limit) == 0);
	freeze_below(20);
	CHECK(map_at(&here, &m) && strcmp(m.path, "[stack]") == 0, "the stack is called '%s'",
	      m.path);
	CHECK(map_has_flag(&here, "gd"), "the stack doesn't grow down");
	frames = limit.rlim_cur > 8 * MIB ? 400 : (int)(limit.rlim_cur / MIB) * 50;
	CHECK(dig(frames, 1) == 1 + (unsigned long)frames * (unsigned long)(frames + 1) / 2,
	      "a deep frame has other bytes");
}
