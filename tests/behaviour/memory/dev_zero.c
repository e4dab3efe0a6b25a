/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of /dev/zero: private ones are plain memory, shared ones an object of their own. */
#include "crew.h"
#include "maps.h"

#include <fcntl.h>

TEST("mappings of /dev/zero")

enum { LEN = 6 * PAGE };

int main(void)
{
	struct crew *c = crew_new();
	int fd = open("/dev/zero", O_RDWR);
	char *private = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *shared = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid_t pid;

	MUST(fd >= 0 && private != MAP_FAILED && shared != MAP_FAILED);
	pattern_fill(private, PAGE, 1);
	pattern_fill(shared + PAGE, PAGE, 2);
	pid = crew_fork();
	if (pid == 0) {
		crew_ready(c);
		shared[3 * PAGE] = 3;
		private[3 * PAGE] = 4;
		_exit(0);
	}
	crew_gather(c, 1);
	FREEZE();
	CHECK(pattern_is(private, PAGE, 1) && is_zero(private + PAGE, LEN - PAGE), "private bytes");
	CHECK(is_zero(shared, PAGE) && pattern_is(shared + PAGE, PAGE, 2), "shared bytes");
	crew_go(c, 1);
	crew_join(pid);
	CHECK(shared[3 * PAGE] == 3, "not shared any more");
	CHECK(private[3 * PAGE] == 0, "not private any more");
	CHECK(read(fd, private, PAGE) == (long)PAGE && is_zero(private, PAGE), "the descriptor");
	return 0;
}
