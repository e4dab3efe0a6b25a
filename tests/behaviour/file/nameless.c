/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file made by O_TMPFILE that never had a name. It comes back as a deleted file: fcntl() no
 * longer shows O_TMPFILE, which is no flag that can be set.
 */
#include "behave.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

BEHAVE("a file of O_TMPFILE", .changes = "fds")
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	char buf[16] = "";
	struct stat st;

	if (fd < 0)
		behave_skip("no O_TMPFILE on this file system: %m");
	MUST(write(fd, "nameless", 8) == 8);
	FREEZE();
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
	CHECK(pread(fd, buf, 15, 0) == 8, "pread: %m");
	CHECK_STR(buf, "nameless");
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0, "it has a name");
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
}
