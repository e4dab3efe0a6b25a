/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of a file: shared ones write through, private ones keep their own pages and show the
 * file in the rest, also what is written to the file later. Offsets and protections stay.
 */
#include "maps.h"

#include <fcntl.h>

enum { LEN = 16 * PAGE };

static char *map_file(int fd, size_t len, int prot, int flags, off_t offset)
{
	char *p = mmap(NULL, len, prot, flags, fd, offset);

	MUST(p != MAP_FAILED);
	return p;
}

static void check_map(const char *p, const char *perms, uint64_t offset, const char *name)
{
	struct map m;

	CHECK(map_at(p, &m), "a mapping is gone");
	CHECK(strcmp(m.perms, perms) == 0, "protection %s, was %s", m.perms, perms);
	CHECK(m.offset == offset, "offset %lx, was %lx", (long)m.offset, (long)offset);
	CHECK(strstr(m.path, name), "it maps '%s'", m.path);
}

BEHAVE("shared and private file mappings, with offsets")
{
	static char data[LEN];
	int fd = open("file_mappings.data", O_CREAT | O_TRUNC | O_RDWR, 0644), ro;
	char *shared, *private, *readonly, *untouched;

	pattern_fill(data, LEN, 1);
	MUST(fd >= 0 && write(fd, data, LEN) == LEN);
	ro = open("file_mappings.data", O_RDONLY);
	shared = map_file(fd, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 3 * PAGE);
	private = map_file(ro, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 5 * PAGE);
	readonly = map_file(ro, 2 * PAGE, PROT_READ, MAP_SHARED, 14 * PAGE);
	untouched = map_file(ro, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 12 * PAGE);
	close(ro);
	shared[0] = 'A';
	private[2 * PAGE + 1] = 'B';
	FREEZE();
	check_map(shared, "rw-s", 3 * PAGE, "/file_mappings.data");
	check_map(private, "rw-p", 5 * PAGE, "/file_mappings.data");
	check_map(readonly, "r--s", 14 * PAGE, "/file_mappings.data");
	check_map(untouched, "r-xp", 12 * PAGE, "/file_mappings.data");
	CHECK(shared[0] == 'A' && memcmp(shared + 1, data + 3 * PAGE + 1, 8 * PAGE - 1) == 0,
	      "the shared mapping has other bytes");
	CHECK(private[2 * PAGE + 1] == 'B', "the private mapping lost a write");
	CHECK(memcmp(private, data + 5 * PAGE, 2 * PAGE) == 0 &&
		      memcmp(private + 3 * PAGE, data + 8 * PAGE, 5 * PAGE) == 0,
	      "the private mapping has other bytes");
	CHECK(memcmp(readonly, data + 14 * PAGE, 2 * PAGE) == 0 &&
		      memcmp(untouched, data + 12 * PAGE, 4 * PAGE) == 0,
	      "the read-only mappings have other bytes");
	CHECK(mprotect(readonly, PAGE, PROT_READ | PROT_WRITE) < 0 && errno == EACCES,
	      "a file that was open for reading can be written through its mapping");

	shared[PAGE] = 'C'; /* page 4 of the file */
	CHECK(pread(fd, data, 1, 4 * PAGE) == 1 && data[0] == 'C', "the file doesn't see a write");
	CHECK(pwrite(fd, "D", 1, 13 * PAGE) == 1 && untouched[PAGE] == 'D',
	      "an untouched private page doesn't show the file");
	CHECK(pwrite(fd, "E", 1, 7 * PAGE) == 1 && private[2 * PAGE] == data[7 * PAGE],
	      "a written private page shows the file");
}
