/* SPDX-License-Identifier: Apache-2.0 */
/* Shared anonymous memory: bytes, holes, protections, and two windows on one object. */
#include "maps.h"

enum { LEN = 64 * PAGE };

BEHAVE("shared anonymous mappings")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *second;
	struct map before, after;

	pattern_fill(p, 10 * PAGE, 1);
	pattern_fill(p + 50 * PAGE, PAGE, 2);
	/* The same object once more: mremap of length 0 duplicates a shared mapping. */
	second = mremap(p + 8 * PAGE, 0, 16 * PAGE, MREMAP_MAYMOVE);
	MUST(second != MAP_FAILED);
	MUST(munmap(p + 20 * PAGE, 4 * PAGE) == 0);
	MUST(mprotect(p + 50 * PAGE, PAGE, PROT_READ) == 0);
	MUST(mprotect(p + 60 * PAGE, PAGE, PROT_NONE) == 0);
	MUST(map_at(second, &before));
	FREEZE();
	CHECK(map_at(second, &after) && after.start == before.start && after.end == before.end,
	      "the second window is elsewhere");
	CHECK(after.offset == before.offset, "offset %lx, was %lx", (long)after.offset,
	      (long)before.offset);
	CHECK(strcmp(map_perms(p), "rw-s") == 0, "protection %s", map_perms(p));
	CHECK(strcmp(map_perms(p + 20 * PAGE), "none") == 0, "the hole is filled");
	CHECK(strcmp(map_perms(p + 50 * PAGE), "r--s") == 0, "protection %s",
	      map_perms(p + 50 * PAGE));
	CHECK(strcmp(map_perms(p + 60 * PAGE), "---s") == 0, "protection %s",
	      map_perms(p + 60 * PAGE));
	CHECK(pattern_is(p, 10 * PAGE, 1) && pattern_is(p + 50 * PAGE, PAGE, 2), "other bytes");
	CHECK(is_zero(p + 10 * PAGE, 10 * PAGE), "untouched pages aren't zero");
	CHECK(memcmp(second, p + 8 * PAGE, 2 * PAGE) == 0, "the second window shows other bytes");
	p[9 * PAGE] = 77;
	CHECK(second[PAGE] == 77, "the windows aren't on one object any more");
	second[13 * PAGE] = 78; /* behind what p has unmapped */
	CHECK(second[13 * PAGE] == 78, "lost a write");
}
