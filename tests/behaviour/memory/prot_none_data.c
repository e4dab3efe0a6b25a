/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes behind PROT_NONE survive, are out of reach, and come back when the protection is lifted. */
#include "maps.h"

enum { LEN = 300 * PAGE };

BEHAVE("data in memory that nobody may touch")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	pattern_fill(p, LEN, 1);
	MUST(mprotect(p, LEN, PROT_NONE) == 0);
	FREEZE();
	CHECK(strcmp(map_perms(p), "---p") == 0, "protection %s", map_perms(p));
	CHECK(touch_read(p + LEN / 2) == SIGSEGV, "it can be read");
	CHECK(touch_write(p) == SIGSEGV, "it can be written");
	CHECK(mprotect(p, LEN, PROT_READ | PROT_WRITE) == 0, "mprotect: %m");
	CHECK(pattern_is(p, LEN, 1), "other bytes than before");
	CHECK(touch_write(p) == 0, "still protected");
}
