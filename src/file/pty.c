/* SPDX-License-Identifier: Apache-2.0 */
/* Ptys with a wanted number. */
#include "file/tty.h"

#include "file/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <time.h>

#define PTY_TRIES 500 /* of 2 ms */

typedef VEC(int) int_vec;

/* Opens one more master: its number, or negative errno. */
static int open_next(int root, const char *path, int *ret_fd)
{
	int fd = openat(root, path_rel(path), O_RDWR | O_NOCTTY | O_CLOEXEC);
	unsigned int n;

	if (fd < 0 || ioctl(fd, TIOCGPTN, &n) < 0) {
		int r = -errno;

		fd_close(fd);
		return r;
	}
	*ret_fd = fd;
	return (int)n;
}

/*
 * A master with the number `index`. The kernel hands out the lowest free one, so all below it are
 * taken first. A number becomes free only some time after the last close (a kernel worker does it),
 * so if a higher one comes, ours may be about to: it is waited for a little.
 */
static int find_master(int root, const char *path, int index, int_vec *lower)
{
	const struct timespec step = {.tv_nsec = 2000000};

	for (int tries = 0; tries < PTY_TRIES;) {
		int fd = -EBADF, n = open_next(root, path, &fd);

		if (n < 0)
			return n;
		if (n == index)
			return fd;
		if (n < index) {
			*vec_push(lower) = fd;
			continue;
		}
		fd_close(fd);
		nanosleep(&step, NULL);
		tries++;
	}
	return -EBUSY;
}

int pty_open_master(int root, const char *path, uint32_t index, struct err *err)
{
	int_vec lower = {0};
	int r = find_master(root, path, (int)index, &lower);

	vec_foreach (fd, &lower)
		fd_close(*fd);
	vec_done(&lower);
	if (r == -EBUSY)
		return err_refuse(err, "close that terminal and restore again",
				  "the tree had the terminal /dev/pts/%u, which is in use now",
				  index);
	return r < 0 ? err_sys(err, r, "open %s for terminal %u", path, index) : r;
}
