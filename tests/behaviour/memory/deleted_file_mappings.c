/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of deleted files, with and without a descriptor, in two processes: the file is one and
 * the same for all of them, and shows as deleted.
 */
#include "maps.h"
#include "stage.h"

#include <fcntl.h>

enum { LEN = 8 * PAGE };

static char *map_deleted(const char *name, int flags, int *ret_fd)
{
	static char data[LEN];
	int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0640);
	char *p;

	MUST(fd >= 0);
	pattern_fill(data, LEN, 1);
	MUST(write(fd, data, LEN) == LEN);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, flags, fd, 0);
	MUST(p != MAP_FAILED && unlink(name) == 0);
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return p;
}

static bool is_deleted(const char *p)
{
	struct map m;
	const char *end;

	if (!map_at(p, &m))
		return false;
	end = strstr(m.path, " (deleted)");
	return end && strcmp(end, " (deleted)") == 0;
}

static char *shared, *alone, *private;
static _Atomic int *stage;

static void child(void *unused)
{
	private[2 * PAGE] = 'Q';
	stage_ready(stage);
	CHECK(private[PAGE] == 'P' && private[2 * PAGE] == 'Q', "the child's own pages");
	CHECK(shared[3 * PAGE] == 'S' && alone[3 * PAGE] == 'T',
	      "the child doesn't see the parent's writes");
	shared[4 * PAGE] = 'U';
	alone[4 * PAGE] = 'V';
}

BEHAVE("mappings of deleted files",
       .not_in_userns = "opening them takes CAP_CHECKPOINT_RESTORE outside of namespaces")
{
	int fd;
	char byte;
	pid_t pid;

	stage = stage_new();
	shared = map_deleted("deleted_shared", MAP_SHARED, &fd);
	alone = map_deleted("deleted_alone", MAP_SHARED, NULL);
	private = map_deleted("deleted_private", MAP_PRIVATE, NULL);
	private[PAGE] = 'P';
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	CHECK(is_deleted(shared) && is_deleted(alone) && is_deleted(private), "not deleted");
	CHECK(pattern_is(shared, LEN, 1) && pattern_is(alone, LEN, 1), "other bytes");
	CHECK(pattern_is(private, PAGE, 1) && private[PAGE] == 'P', "other private bytes");
	CHECK(private[2 * PAGE] != 'Q', "the child's page is in the parent");
	shared[3 * PAGE] = 'S';
	alone[3 * PAGE] = 'T';
	CHECK(pread(fd, &byte, 1, 3 * PAGE) == 1 && byte == 'S', "descriptor and mapping differ");
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(shared[4 * PAGE] == 'U' && alone[4 * PAGE] == 'V',
	      "the parent doesn't see the child's writes");
	CHECK(access("deleted_shared", F_OK) < 0 && access("deleted_alone", F_OK) < 0 &&
		      access("deleted_private", F_OK) < 0,
	      "a deleted file has its name back");
}
