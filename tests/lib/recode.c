/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recode DIR...: every image file there as JSON, plain and for people, and back: the same bytes?
 * Prints the files for which that isn't so, and at the end how many it was asked of. Of large files
 * of pages, whose records are all alike, the first megabytes will do.
 */
#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "image/json/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ENOUGH (4u << 20)

static int scratch(void)
{
	int fd = memfd_create("recode", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

/* A file, or as much of one of pages as is enough. */
static int copy_of(int fd, const char *name)
{
	struct stat st;
	uint64_t len;
	int copy = scratch();

	if (fstat(fd, &st) < 0)
		abort();
	len = (uint64_t)st.st_size;
	if (str_after(name, "pages-") || str_after(name, "sums-"))
		len = MIN(len, (uint64_t)ENOUGH);
	if (io_copy_range(fd, 0, copy, 0, len) < 0)
		abort();
	return copy;
}

static bool same_bytes(int a, int b)
{
	struct stat sa, sb;
	uint8_t x[65536], y[65536];

	if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0 || sa.st_size != sb.st_size)
		return false;
	for (off_t at = 0; at < sa.st_size; at += (off_t)sizeof(x)) {
		size_t n = (size_t)MIN(sa.st_size - at, (off_t)sizeof(x));

		if (io_pread_full(a, x, n, (uint64_t)at) < 0 ||
		    io_pread_full(b, y, n, (uint64_t)at) < 0 || memcmp(x, y, n) != 0)
			return false;
	}
	return true;
}

static bool survives(int file, const char *name, bool pretty, struct err *err)
{
	auto_close int text = scratch(), again = scratch();
	struct json_job there = {.in_fd = file, .out_fd = text, .name = name, .pretty = pretty};
	struct json_job back = {.in_fd = text, .out_fd = again, .name = name};

	lseek(file, 0, SEEK_SET);
	if (json_decode_image(&there, err) < 0)
		return false;
	lseek(text, 0, SEEK_SET);
	if (json_encode_image(&back, err) < 0)
		return false;
	return same_bytes(file, again);
}

/* 1: one that differs. */
static int recode(int dir, const char *where, const char *name)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), file = -EBADF;
	struct err err = ERR_INIT;

	if (fd < 0)
		return 1;
	file = copy_of(fd, name);
	for (int pretty = 0; pretty < 2; pretty++) {
		if (survives(file, name, pretty, &err))
			continue;
		printf("%s/%s: %s\n", where, name,
		       err.code ? err.text : "encoded, its JSON gives other bytes");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int bad = 0, n = 0;

	for (int i = 1; i < argc; i++) {
		auto_closedir DIR *d = opendir(argv[i]);
		const struct dirent *e;

		while (d && (e = readdir(d))) {
			if (!str_ends(e->d_name, ".img") && !str_after(e->d_name, "stats-"))
				continue;
			bad += recode(dirfd(d), argv[i], e->d_name);
			n++;
		}
	}
	printf("%d image files, %d of them differ\n", n, bad);
	return bad ? 1 : 0;
}
