/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings that mremap has moved, grown and shrunk keep bytes, offsets and the way they grow. */
#include "maps.h"

#include <fcntl.h>

enum { LEN = 10 * PAGE };

static char *far_away(size_t len)
{
	char *p = map_new(len + 64 * MIB, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);

	MUST(munmap(p, len + 64 * MIB) == 0);
	return p + 32 * MIB;
}

BEHAVE("mappings moved by mremap")
{
	static char data[LEN];
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE), *file, *to;
	int fd = open("moved.data", O_CREAT | O_TRUNC | O_RDWR, 0644);
	struct map before, after;

	pattern_fill(p, LEN, 1);
	to = far_away(3 * LEN);
	p = mremap(p, LEN, 2 * LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	MUST(p == to);
	pattern_fill(p + LEN, LEN, 2);
	pattern_fill(data, LEN, 3);
	MUST(fd >= 0 && write(fd, data, LEN) == LEN);
	file = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(file != MAP_FAILED);
	file[5 * PAGE] = 'F';
	to = far_away(LEN);
	MUST(mremap(file + 4 * PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	MUST(map_at(to, &before) && before.offset == 4 * PAGE);
	FREEZE();
	CHECK(pattern_is(p, LEN, 1) && pattern_is(p + LEN, LEN, 2), "other bytes");
	CHECK(map_at(to, &after) && after.start == before.start && after.offset == before.offset,
	      "the file's part is elsewhere");
	CHECK(to[PAGE] == 'F' && memcmp(to, data + 4 * PAGE, PAGE) == 0, "other bytes of the file");
	CHECK(strcmp(map_perms(file + 4 * PAGE), "none") == 0, "what has moved is there, too");
	to = mremap(p, 2 * LEN, 4 * LEN, MREMAP_MAYMOVE);
	CHECK(to != MAP_FAILED && pattern_is(to, LEN, 1) && is_zero(to + 2 * LEN, 2 * LEN),
	      "it doesn't grow: %m");
}
