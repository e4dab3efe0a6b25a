/* SPDX-License-Identifier: Apache-2.0 */
/* A working directory that was removed, and an open directory that was: both as they were. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

BEHAVE("a deleted working directory and a deleted open one")
{
	struct stat st, top;
	char path[512];
	int fd;

	MUST(mkdir("cwd", 0755) == 0 && mkdir("open", 0700) == 0 && stat(".", &top) == 0);
	fd = SYS(open("open", O_RDONLY | O_DIRECTORY));
	MUST(rmdir("open") == 0 && chdir("cwd") == 0 && rmdir("../cwd") == 0);
	FREEZE();
	CHECK(!getcwd(path, sizeof(path)) && errno == ENOENT, "the directory is back: %s", path);
	CHECK(stat(".", &st) == 0 && st.st_nlink == 0, "it has %ld links", (long)st.st_nlink);
	CHECK(open("file", O_CREAT | O_WRONLY, 0600) < 0, "files can be made in it");
	CHECK(stat("..", &st) == 0 && st.st_ino == top.st_ino, "its parent is another");
	CHECK(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_nlink == 0, "the open one");
	CHECK(openat(fd, "file", O_CREAT | O_WRONLY, 0600) < 0, "files can be made in that");
}
