/* SPDX-License-Identifier: Apache-2.0 */
/* O_PATH descriptors of a file, a directory, a symbolic link and a fifo: good for *at() calls only.
 */
#include "behave.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_path(const char *name, int flags)
{
	return SYS(open(name, O_PATH | flags));
}

BEHAVE("O_PATH descriptors")
{
	int file, dir, link, fifo, inside;
	char target[64] = "", magic[64], c;
	struct stat st;

	MUST(mkdir("dir", 0755) == 0 && mkfifo("fifo", 0600) == 0);
	close(SYS(open("dir/file", O_CREAT | O_WRONLY, 0644)));
	MUST(symlink("nowhere", "link") == 0);
	file = open_path("dir/file", 0);
	dir = open_path("dir", O_DIRECTORY | O_CLOEXEC);
	link = open_path("link", O_NOFOLLOW);
	fifo = open_path("fifo", 0);
	FREEZE();
	CHECK(fcntl(file, F_GETFL) & O_PATH && fcntl(dir, F_GETFL) & O_PATH &&
		      fcntl(link, F_GETFL) & O_PATH && fcntl(fifo, F_GETFL) & O_PATH,
	      "O_PATH is lost");
	CHECK_EQ(fcntl(dir, F_GETFD), FD_CLOEXEC);
	CHECK(read(file, &c, 1) < 0, "an O_PATH descriptor can be read");
	CHECK(fstat(file, &st) == 0 && S_ISREG(st.st_mode), "the file");
	CHECK(fstat(fifo, &st) == 0 && S_ISFIFO(st.st_mode), "the fifo");
	CHECK(fstat(link, &st) == 0 && S_ISLNK(st.st_mode), "the link was followed");
	CHECK(readlinkat(link, "", target, sizeof(target)) == 7, "the link can't be read");
	CHECK_STR(target, "nowhere");
	inside = openat(dir, "file", O_RDONLY);
	CHECK(inside >= 0, "openat through the directory fails");
	snprintf(magic, sizeof(magic), "/proc/self/fd/%d", file);
	inside = open(magic, O_WRONLY);
	CHECK(inside >= 0 && write(inside, "x", 1) == 1, "the file can't be opened through it");
}
