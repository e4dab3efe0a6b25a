/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleted files live on: bytes, holes, mode, position; several descriptors on one file see each
 * other's writes, here and in a child; and none has its name back.
 */
#include "behave.h"
#include "stage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BIG = 40 << 20 };

static _Atomic int *stage;
static int appending, reading;

static void child(void *unused)
{
	char c;

	stage_ready(stage);
	CHECK(pread(reading, &c, 1, 5) == 1 && c == '+', "the child doesn't see what was appended");
	CHECK(write(appending, "-", 1) == 1, "append in the child: %m");
}

static int sparse_file(struct stat *st)
{
	int fd = SYS(open("sparse", O_CREAT | O_EXCL | O_RDWR, 0600));
	static char block[64 << 10];

	memset(block, 's', sizeof(block));
	for (off_t at = 1 << 20; at < BIG; at += 13 << 20)
		MUST(pwrite(fd, block, sizeof(block), at) == sizeof(block));
	MUST(ftruncate(fd, BIG) == 0 && unlink("sparse") == 0 && fsync(fd) == 0);
	MUST(fstat(fd, st) == 0);
	return fd;
}

BEHAVE("deleted files, small and sparse, with several descriptors")
{
	int small = SYS(open("small", O_CREAT | O_EXCL | O_RDWR, 0640)), sparse;
	struct stat before, st, other;
	char buf[16] = "";
	pid_t pid;

	stage = stage_new();
	MUST(write(small, "ghost", 5) == 5 && lseek(small, 2, SEEK_SET) == 2);
	appending = SYS(open("small", O_WRONLY | O_APPEND));
	reading = SYS(open("small", O_RDONLY));
	MUST(fchown(small, 7, 8) == 0 && fchmod(small, 04751) == 0 && unlink("small") == 0);
	sparse = sparse_file(&before);
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	CHECK_EQ(lseek(small, 0, SEEK_CUR), 2);
	CHECK(pread(reading, buf, 15, 0) == 5, "the small file has another size");
	CHECK_STR(buf, "ghost");
	CHECK(fstat(small, &st) == 0 && st.st_nlink == 0, "it has a name again");
	CHECK(st.st_mode == (S_IFREG | 04751) && st.st_uid == 7 && st.st_gid == 8,
	      "mode %o, owner %d:%d", st.st_mode, st.st_uid, st.st_gid);
	CHECK(fstat(appending, &other) == 0 && other.st_ino == st.st_ino, "two files from one");
	CHECK(write(appending, "+", 1) == 1, "append: %m");
	CHECK(write(reading, "x", 1) < 0, "the read-only descriptor can be written");
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(pread(small, buf, 15, 0) == 7 && memcmp(buf, "ghost+-", 7) == 0, "it holds '%s'",
	      buf);
	CHECK(fstat(sparse, &st) == 0 && st.st_size == BIG, "the sparse file has another size");
	CHECK(st.st_blocks <= before.st_blocks + 16, "holes were filled: %ld blocks, were %ld",
	      (long)st.st_blocks, (long)before.st_blocks);
	for (off_t at = 1 << 20; at < BIG; at += 13 << 20)
		CHECK(pread(sparse, buf, 2, at + (64 << 10) - 1) == 2 && buf[0] == 's' && !buf[1],
		      "other bytes at %ld", (long)at);
	CHECK(access("small", F_OK) < 0 && access("sparse", F_OK) < 0, "a name came back");
}
