/* SPDX-License-Identifier: Apache-2.0 */
/* Pty masters for tests. */
#pragma once

#include "behave.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * A master with an unusual number. The kernel hands out the lowest free one, so a test that is
 * frozen could lose a low number to a terminal that somebody opens meanwhile.
 */
static inline int pty_open_master(int flags, char *name, size_t size)
{
	unsigned int n, wanted = 64 + (unsigned int)(behave_now() / 1000 % 160);
	int fds[256], k = 0, fd;

	do {
		MUST(k < 256);
		fds[k++] = fd = SYS(posix_openpt(flags));
		MUST(ioctl(fd, TIOCGPTN, &n) == 0);
	} while (n < wanted);
	while (--k > 0)
		close(fds[k - 1]);
	MUST(grantpt(fd) == 0 && unlockpt(fd) == 0);
	MUST(ptsname_r(fd, name, size) == 0);
	return fd;
}
