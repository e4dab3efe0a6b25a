/* SPDX-License-Identifier: Apache-2.0 */
/* A deleted file that has another link: with --link-remap it stays that file. */
#include "behave.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

BEHAVE("a deleted file with another link, by --link-remap", .dump_options = "--link-remap")
{
	int fd = SYS(open("first", O_CREAT | O_EXCL | O_RDWR, 0644));
	struct stat before, st;
	char buf[16] = "", *map;

	MUST(write(fd, "linked", 6) == 6);
	MUST(link("first", "second") == 0 && unlink("first") == 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(map != MAP_FAILED && fstat(fd, &before) == 0);
	FREEZE();
	CHECK(fstat(fd, &st) == 0 && st.st_ino == before.st_ino, "another file");
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK(write(fd, "+", 1) == 1, "write: %m");
	map[0] = 'L';
	CHECK(pread(SYS(open("second", O_RDONLY)), buf, 15, 0) == 7, "the other link");
	CHECK_STR(buf, "Linked+");
	CHECK(access("first", F_OK) < 0, "the deleted name came back");
}
