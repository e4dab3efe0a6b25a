/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include "base/arena.h"
#include "base/auto.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

int io_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int io_pread_full(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int io_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int io_pwrite_full(int fd, const void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int io_read_file(int dirfd, const char *path, char **ret, size_t *ret_len)
{
	auto_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t cap = 4096, len = 0;
	auto_free char *buf = NULL;

	if (fd < 0)
		return -errno;
	buf = xcalloc(1, cap + 1);
	for (;;) {
		ssize_t n = read(fd, buf + len, cap - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len == cap) {
			cap *= 2;
			buf = xrealloc(buf, cap + 1, 1);
		}
	}
	buf[len] = '\0';
	if (ret_len)
		*ret_len = len;
	*ret = TAKE_PTR(buf);
	return 0;
}

int io_write_file(int dirfd, const char *path, const char *text)
{
	auto_close int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int copy_through_buffer(int in, uint64_t in_off, int out, uint64_t out_off, uint64_t len)
{
	size_t size = MIN(len, (uint64_t)256 * 1024);
	auto_free char *buf = xcalloc(1, size);

	while (len) {
		size_t n = MIN(len, (uint64_t)size);

		TRY(io_pread_full(in, buf, n, in_off));
		TRY(io_pwrite_full(out, buf, n, out_off));
		in_off += n;
		out_off += n;
		len -= n;
	}
	return 0;
}

int io_copy_range(int in, uint64_t in_off, int out, uint64_t out_off, uint64_t len)
{
	while (len) {
		loff_t src = (loff_t)in_off, dst = (loff_t)out_off;
		ssize_t n = copy_file_range(in, &src, out, &dst, len, 0);

		if (n <= 0) /* different file systems, pipes, old kernels; 0 also for procfs */
			return copy_through_buffer(in, in_off, out, out_off, len);
		in_off += (uint64_t)n;
		out_off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int fd_dup_above(int fd, int floor)
{
	int ret = fcntl(fd, F_DUPFD_CLOEXEC, floor < 3 ? 3 : floor);

	return ret < 0 ? -errno : ret;
}

uint64_t fd_limit_raise(void)
{
	struct rlimit lim;
	rlim_t soft;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1024;
	soft = lim.rlim_cur;
	lim.rlim_cur = lim.rlim_max;
	return soft != lim.rlim_max && setrlimit(RLIMIT_NOFILE, &lim) < 0 ? soft : lim.rlim_max;
}

/* The lowest free number tells how many there are, as they are given away from below. */
uint64_t fd_limit_left(void)
{
	struct rlimit lim;
	int lowest = fd_dup_above(STDERR_FILENO, 3);

	if (lowest < 0)
		return lowest == -EMFILE ? 0 : 1024;
	close(lowest);
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur <= (rlim_t)lowest)
		return 0;
	return lim.rlim_cur - (rlim_t)lowest;
}
