/* SPDX-License-Identifier: Apache-2.0 */
/* Character devices that have no state: null, zero, full, random, urandom. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const struct {
	const char *path;
	int minor, flags;
} devices[] = {
	{"/dev/null", 3, O_RDWR},     {"/dev/null", 3, O_WRONLY | O_APPEND | O_CLOEXEC},
	{"/dev/zero", 5, O_RDWR},     {"/dev/full", 7, O_RDWR | O_NONBLOCK},
	{"/dev/random", 8, O_RDONLY}, {"/dev/urandom", 9, O_RDONLY},
};
enum { N = sizeof(devices) / sizeof(devices[0]), NUL = 0, ZERO = 2, FULL = 3, RANDOM = 4 };

BEHAVE("null, zero, full, random and urandom")
{
	int fds[N], status[N], cloexec[N];
	char a[32], b[32];
	struct stat st;

	for (int i = 0; i < N; i++) {
		fds[i] = SYS(open(devices[i].path, devices[i].flags));
		status[i] = fcntl(fds[i], F_GETFL);
		cloexec[i] = fcntl(fds[i], F_GETFD);
	}
	FREEZE();
	for (int i = 0; i < N; i++) {
		CHECK(fstat(fds[i], &st) == 0 && S_ISCHR(st.st_mode), "%s", devices[i].path);
		CHECK(st.st_rdev == makedev(1, (unsigned)devices[i].minor), "%s: another device",
		      devices[i].path);
		CHECK_EQ(fcntl(fds[i], F_GETFL), status[i]);
		CHECK_EQ(fcntl(fds[i], F_GETFD), cloexec[i]);
	}
	CHECK(read(fds[NUL], a, 1) == 0 && write(fds[NUL], a, 1) == 1, "null");
	memset(a, 1, sizeof(a));
	memset(b, 0, sizeof(b));
	CHECK(read(fds[ZERO], a, sizeof(a)) == sizeof(a), "zero");
	CHECK_MEM(a, b, sizeof(a));
	CHECK(write(fds[FULL], a, 1) < 0 && errno == ENOSPC, "full: %m");
	for (int i = RANDOM; i < N; i++) {
		CHECK(read(fds[i], a, sizeof(a)) == sizeof(a) &&
			      read(fds[i], b, sizeof(b)) == sizeof(b),
		      "%s: %m", devices[i].path);
		CHECK(memcmp(a, b, sizeof(a)) != 0, "%s repeats itself", devices[i].path);
	}
}
