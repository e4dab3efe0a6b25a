/* SPDX-License-Identifier: Apache-2.0 */
/* Open regular files: position, access mode, status flags, close-on-exec; and they can be used. */
#include "behave.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	const char *name;
	int flags, fd, status, cloexec;
	off_t position;
} files[] = {
	{"plain", O_RDWR},
	{"plain", O_RDONLY},
	{"plain", O_WRONLY | O_CLOEXEC},
	{"plain", O_RDWR | O_APPEND},
	{"plain", O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK},
	{"plain", O_RDONLY | O_NOATIME | O_NOFOLLOW},
	{"plain", O_RDWR | O_SYNC},
	{"plain", O_RDWR | O_DSYNC},
	{"plain", O_RDONLY | O_DIRECT},
	{"empty", O_RDWR},
	{"unreadable", O_RDWR},
};
enum { N = sizeof(files) / sizeof(files[0]) };

static void create(const char *name, size_t len)
{
	int fd = SYS(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644));
	char byte = 'a';

	for (size_t i = 0; i < len; i++)
		MUST(pwrite(fd, &byte, 1, (off_t)i) == 1);
	close(fd);
}

BEHAVE("positions and flags of open files")
{
	off_t far_off = 5l << 30;
	int fd, far;
	char c;

	create("plain", 1000);
	create("empty", 0);
	create("unreadable", 10);
	for (int i = 0; i < N; i++) {
		files[i].fd = open(files[i].name, files[i].flags);
		MUST(files[i].fd >= 0 || (files[i].flags & O_DIRECT));
		if (files[i].fd < 0)
			continue;
		files[i].position = lseek(files[i].fd, 37 * i, SEEK_SET);
		files[i].status = fcntl(files[i].fd, F_GETFL);
		files[i].cloexec = fcntl(files[i].fd, F_GETFD);
	}
	MUST(chmod("unreadable", 0000) == 0);
	far = SYS(open("far", O_CREAT | O_RDWR, 0600));
	MUST(lseek(far, far_off, SEEK_SET) == far_off);
	FREEZE();
	for (int i = 0; i < N; i++) {
		if (files[i].fd < 0)
			continue;
		CHECK(lseek(files[i].fd, 0, SEEK_CUR) == files[i].position, "file %d: position", i);
		CHECK(fcntl(files[i].fd, F_GETFL) == files[i].status, "file %d: flags %o, were %o",
		      i, fcntl(files[i].fd, F_GETFL), files[i].status);
		CHECK(fcntl(files[i].fd, F_GETFD) == files[i].cloexec, "file %d: close-on-exec", i);
	}
	CHECK_EQ(lseek(far, 0, SEEK_CUR), far_off);
	CHECK(write(files[0].fd, "X", 1) == 1 && pread(files[1].fd, &c, 1, 0) == 1 && c == 'X',
	      "a write at position 0 doesn't show");
	CHECK(write(files[1].fd, "X", 1) < 0, "what was open for reading can be written");
	CHECK(read(files[2].fd, &c, 1) < 0, "what was open for writing can be read");
	CHECK(write(files[3].fd, "Y", 1) == 1, "appending fails");
	CHECK_EQ(lseek(files[3].fd, 0, SEEK_CUR), 1001);
	fd = SYS(open("plain", O_RDONLY));
	CHECK(pread(fd, &c, 1, 1000) == 1 && c == 'Y', "what was appended isn't at the end");
	CHECK(write(files[10].fd, "Z", 1) == 1, "a file that lost its mode bits can't be written");
}
