/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that aren't compared record by record (data in pipes and queues, deleted files, terminals,
 * namespaces): as wholes.
 */
#include "inspect/diff.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BUF_LEN (64u * 1024)

/* Compared by what they say, or about the dump and not the program. */
static const char *const others[] = {
	"inventory", "pstree", "core-", "ids-",	  "mm-",       "fs-",	  "pagemap-", "pages-",
	"fdinfo-",   "files.", "sums-", "stats-", "integrity", "cgroup.", "timens-",
};

static bool is_whole(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (str_after(name, others[i]))
			return false;
	return str_ends(name, ".img");
}

/* -1: there is no such file. */
static int open_image(const struct torpor_checkpoint *cp, const char *name, int64_t *ret_size)
{
	int fd = openat(cp->dir.fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	*ret_size = -1;
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		fd = fd_close(fd);
	if (fd >= 0)
		*ret_size = st.st_size;
	return fd;
}

static bool same_bytes(int a, int b, int64_t size)
{
	auto_free uint8_t *x = xcalloc(2, BUF_LEN);
	uint8_t *y = x + BUF_LEN;

	for (int64_t at = 0; at < size; at += BUF_LEN) {
		size_t n = (size_t)MIN(size - at, (int64_t)BUF_LEN);

		if (io_pread_full(a, x, n, (uint64_t)at) < 0 ||
		    io_pread_full(b, y, n, (uint64_t)at) < 0 || memcmp(x, y, n) != 0)
			return false;
	}
	return true;
}

static void compare_image(struct diff *d, const char *name)
{
	int64_t size[2];
	auto_close int a = open_image(d->cp[0], name, &size[0]);
	auto_close int b = open_image(d->cp[1], name, &size[1]);

	if (size[0] == size[1] && same_bytes(a, b, size[0]))
		return;
	diff_add(d, "images",
		 json_pack("{so sI sI}", "image", json_string_of(name), "a", (json_int_t)size[0],
			   "b", (json_int_t)size[1]));
}

void diff_images(struct diff *d)
{
	for (size_t i = 0; i < 2; i++) {
		int fd = openat(d->cp[i]->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);

		if (!dir) {
			fd_close(fd);
			continue;
		}
		for (struct dirent *e; (e = readdir(dir));) {
			/* What both have was compared in the first round. */
			if (!is_whole(e->d_name) ||
			    (i && faccessat(d->cp[0]->dir.fd, e->d_name, F_OK, 0) == 0))
				continue;
			compare_image(d, e->d_name);
		}
	}
}
