/* SPDX-License-Identifier: Apache-2.0 */
/* A file cut off under its mappings: SIGBUS behind its end before, and after a restore too. */
#include "maps.h"

#include <fcntl.h>

enum { LEN = 8 * PAGE };

BEHAVE("a file truncated under a mapping")
{
	static char data[LEN];
	int fd = open("truncated.data", O_CREAT | O_TRUNC | O_RDWR, 0644);
	char *shared, *private;

	pattern_fill(data, LEN, 1);
	MUST(fd >= 0 && write(fd, data, LEN) == LEN);
	shared = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(shared != MAP_FAILED && private != MAP_FAILED);
	private[PAGE] = 'P';
	MUST(ftruncate(fd, 3 * PAGE + 100) == 0);
	MUST(touch_read(shared + 4 * PAGE) == SIGBUS && touch_read(private + 4 * PAGE) == SIGBUS);
	FREEZE();
	CHECK(touch_read(shared + 3 * PAGE + 50) == 0, "the last page can't be read");
	CHECK(touch_read(shared + 4 * PAGE) == SIGBUS, "shared, behind the end: signal %d",
	      touch_read(shared + 4 * PAGE));
	CHECK(touch_read(private + 7 * PAGE) == SIGBUS, "private, behind the end: signal %d",
	      touch_read(private + 7 * PAGE));
	CHECK(memcmp(shared, data, 3 * PAGE + 100) == 0, "other bytes");
	CHECK(private[PAGE] == 'P' && memcmp(private, data, PAGE) == 0, "other private bytes");
	CHECK(lseek(fd, 0, SEEK_END) == 3 * (long)PAGE + 100, "the file's size changed");
	CHECK(ftruncate(fd, LEN) == 0 && touch_read(shared + 4 * PAGE) == 0 &&
		      shared[4 * PAGE] == 0,
	      "the file grown again doesn't show");
}
