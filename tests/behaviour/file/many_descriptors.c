/* SPDX-License-Identifier: Apache-2.0 */
/* 5,000 descriptors: each has its file and position, and the gaps between them are gaps. */
#include "behave.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N = 5000, FIRST = 10 };

BEHAVE("5,000 descriptors", .limit = 120)
{
	struct rlimit limit;
	int bad_position = 0, bad_file = 0, bad_gap = 0;
	struct stat st[10], now;
	char name[16];

	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur < N + 100)
		behave_skip("only %lu descriptors are allowed", (unsigned long)limit.rlim_cur);
	for (int i = 0; i < N; i++) {
		int fd;

		snprintf(name, sizeof(name), "file%d", i % 10);
		fd = SYS(open(name, O_CREAT | O_RDWR | (i % 3 ? 0 : O_APPEND), 0644));
		MUST(fstat(fd, &st[i % 10]) == 0);
		MUST(lseek(fd, i, SEEK_SET) == i);
		if (fd != FIRST + i) {
			MUST(dup3(fd, FIRST + i, i % 2 ? O_CLOEXEC : 0) == FIRST + i);
			close(fd);
		}
	}
	for (int i = 0; i < N; i += 7)
		close(FIRST + i);
	FREEZE();
	for (int i = 0; i < N; i++) {
		if (i % 7 == 0) {
			bad_gap += fcntl(FIRST + i, F_GETFD) >= 0;
			continue;
		}
		bad_position += lseek(FIRST + i, 0, SEEK_CUR) != i;
		bad_file += fstat(FIRST + i, &now) < 0 || now.st_ino != st[i % 10].st_ino;
	}
	CHECK_EQ(bad_gap, 0);
	CHECK_EQ(bad_position, 0);
	CHECK_EQ(bad_file, 0);
}
