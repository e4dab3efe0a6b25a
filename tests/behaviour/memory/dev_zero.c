/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of /dev/zero: private ones are plain memory, shared ones an object of their own. */
#include "maps.h"
#include "stage.h"

#include <fcntl.h>

enum { LEN = 6 * PAGE };

static char *private, *shared;
static _Atomic int *stage;

static void child(void *unused)
{
	stage_ready(stage);
	shared[3 * PAGE] = 3;
	private[3 * PAGE] = 4;
}

BEHAVE("mappings of /dev/zero")
{
	int fd = open("/dev/zero", O_RDWR);
	pid_t pid;

	stage = stage_new();
	private = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	shared = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(fd >= 0 && private != MAP_FAILED && shared != MAP_FAILED);
	pattern_fill(private, PAGE, 1);
	pattern_fill(shared + PAGE, PAGE, 2);
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	CHECK(pattern_is(private, PAGE, 1) && is_zero(private + PAGE, LEN - PAGE), "private bytes");
	CHECK(is_zero(shared, PAGE) && pattern_is(shared + PAGE, PAGE, 2), "shared bytes");
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(shared[3 * PAGE] == 3, "not shared any more");
	CHECK(private[3 * PAGE] == 0, "not private any more");
	CHECK(read(fd, private, PAGE) == (long)PAGE && is_zero(private, PAGE), "the descriptor");
}
