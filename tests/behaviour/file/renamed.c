/* SPDX-License-Identifier: Apache-2.0 */
/* Files that were renamed after they were opened, or whose directory was, are found again. */
#include "behave.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_name(int fd, const char *name)
{
	char path[32], link[512] = "", want[512];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "%s/%s", behave_dir(), name);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0, "readlink: %m");
	CHECK_STR(link, want);
}

static int create(const char *name)
{
	int fd = SYS(open(name, O_CREAT | O_EXCL | O_RDWR, 0644));

	MUST(write(fd, name, strlen(name)) == (ssize_t)strlen(name));
	return fd;
}

BEHAVE("renamed files and directories")
{
	int file = create("old"), replaced, inside, dir;
	char buf[16] = "", *map;

	replaced = create("same"); /* renamed, and a new file has its name */
	MUST(mkdir("olddir", 0755) == 0);
	dir = SYS(open("olddir", O_RDONLY));
	inside = create("olddir/inside");
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, inside, 0);
	MUST(map != MAP_FAILED);
	MUST(rename("old", "new name") == 0 && rename("same", "other") == 0);
	close(create("same"));
	MUST(rename("olddir", "newdir") == 0);
	FREEZE();
	check_name(file, "new name");
	check_name(replaced, "other");
	check_name(dir, "newdir");
	check_name(inside, "newdir/inside");
	CHECK(memcmp(map, "olddir/inside", 13) == 0, "the mapping has other bytes");
	CHECK(write(replaced, "+", 1) == 1, "write: %m");
	close(SYS(open("same", O_RDONLY)));
	CHECK(pread(SYS(open("other", O_RDONLY)), buf, 15, 0) == 5, "another file was opened");
	CHECK(pread(SYS(open("same", O_RDONLY)), buf, 15, 0) == 4, "the new file was changed");
}
