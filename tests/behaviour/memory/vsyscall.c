/* SPDX-License-Identifier: Apache-2.0 */
/* The vsyscall page, where the kernel has it: still there, still answering. */
#include "maps.h"

#include <time.h>

typedef time_t time_fn(time_t *);

BEHAVE("a call into the vsyscall page")
{
	const uintptr_t address = 0xffffffffff600400ul;
	struct map before, after;
	time_fn *vtime;
	time_t now;

	memcpy(&vtime, &address, sizeof(vtime));
	if (!map_at((void *)address, &before) || !strchr(before.perms, 'x'))
		behave_skip("no vsyscall page here");
	MUST(vtime(NULL) > 0);
	FREEZE();
	CHECK(map_at((void *)address, &after) && strcmp(after.perms, before.perms) == 0,
	      "the page isn't what it was");
	now = time(NULL);
	CHECK(vtime(NULL) >= now && vtime(NULL) <= now + 2, "it tells another time");
}
