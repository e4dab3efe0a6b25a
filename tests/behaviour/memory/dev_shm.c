/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX shared memory objects in /dev/shm: one with its name, one unlinked, shared with a child. */
#include "maps.h"
#include "stage.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { LEN = 10 * PAGE };

static char *shm_map(const char *name, int *ret_fd)
{
	int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
	char *p;

	MUST(fd >= 0 && ftruncate(fd, LEN) == 0);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(p != MAP_FAILED);
	*ret_fd = fd;
	return p;
}

static char *named, *gone;
static int gone_fd;
static _Atomic int *stage;

static void child(void *unused)
{
	close(gone_fd);
	stage_ready(stage);
	named[0]++;
	gone[0]++;
}

/*
 * fds: shm_open() passes O_NOFOLLOW, which F_GETFL goes on showing. A deleted file is opened again
 * through a link of /proc, where it can't be passed; it has no meaning any more, either.
 */
BEHAVE("objects in /dev/shm", .changes = "fds")
{
	char named_as[64], gone_as[64], byte;
	struct stat here;
	int named_fd = -1;
	pid_t pid;

	stage = stage_new();
	/* /dev/shm may be everybody's: a name that no other run has. */
	MUST(stat(".", &here) == 0);
	snprintf(named_as, sizeof(named_as), "/behave-named-%lu", (unsigned long)here.st_ino);
	snprintf(gone_as, sizeof(gone_as), "/behave-gone-%lu", (unsigned long)here.st_ino);
	named = shm_map(named_as, &named_fd);
	gone = shm_map(gone_as, &gone_fd);
	close(named_fd);
	MUST(shm_unlink(gone_as) == 0);
	pattern_fill(named, LEN, 1);
	pattern_fill(gone + 4 * PAGE, 2 * PAGE, 2);
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	named_fd = shm_open(named_as, O_RDONLY, 0);
	CHECK(named_fd >= 0 && shm_unlink(named_as) == 0, "the named object: %m");
	CHECK(shm_unlink(gone_as) < 0, "the unlinked object has its name back");
	CHECK(pattern_is(named, LEN, 1) && pattern_is(gone + 4 * PAGE, 2 * PAGE, 2), "bytes");
	CHECK(is_zero(gone, 4 * PAGE), "untouched pages aren't zero");
	named[0] = 5;
	gone[0] = 6;
	CHECK(pread(named_fd, &byte, 1, 0) == 1 && byte == 5, "the named object is another one");
	CHECK(pread(gone_fd, &byte, 1, 0) == 1 && byte == 6, "the unlinked object is another one");
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(named[0] == 6 && gone[0] == 7, "not shared with the child any more");
}
