/* SPDX-License-Identifier: Apache-2.0 */
/* An open directory in the middle of being read gives the rest, nothing twice and nothing lost. */
#include "behave.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N = 300 };

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

/* Counts the entries of one getdents64 call; 0 at the end. */
static int read_some(int fd, int *seen)
{
	_Alignas(8) char buf[1024];
	long n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	int entries = 0;

	for (long at = 0; at < n; entries++) {
		const struct linux_dirent64 *d = (const void *)(buf + at);

		if (d->d_name[0] == 'n')
			seen[atoi(d->d_name + 1)]++;
		at += d->d_reclen;
	}
	return entries;
}

BEHAVE("a directory in the middle of being read")
{
	static int seen[N];
	int fd, bad = 0;
	char name[32];
	struct stat st;

	MUST(mkdir("dir", 0755) == 0);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "dir/n%d", i);
		close(SYS(open(name, O_CREAT | O_WRONLY, 0644)));
	}
	fd = SYS(open("dir", O_RDONLY | O_DIRECTORY));
	for (int i = 0; i < 4; i++)
		MUST(read_some(fd, seen) > 0);
	FREEZE();
	while (read_some(fd, seen) > 0)
		;
	for (int i = 0; i < N; i++)
		bad += seen[i] != 1;
	CHECK(bad == 0, "%d of %d entries were lost or came twice", bad, N);
	CHECK(fchdir(fd) == 0 && stat("n7", &st) == 0, "fchdir to it");
}
