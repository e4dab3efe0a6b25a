/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/auto.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>

static char path[64];
static struct img_dir dir = {.fd = -EBADF, .work_fd = -EBADF, .path = path};

static void remove_dir(void)
{
	DIR *d = fdopendir(dir.fd);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

const struct img_dir *fuzz_dir(void)
{
	if (dir.fd >= 0)
		return &dir;
	snprintf(path, sizeof(path), "%s/image-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	fuzz_assert(mkdtemp(path));
	dir.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fuzz_assert(dir.fd >= 0);
	dir.work_fd = dir.fd;
	atexit(remove_dir);
	return &dir;
}

void fuzz_file(const char *name, const uint8_t *data, size_t size, uint64_t length)
{
	auto_close int fd =
		openat(fuzz_dir()->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	fuzz_assert(fd >= 0 && io_pwrite_full(fd, data, size, 0) == 0);
	fuzz_assert(ftruncate(fd, (off_t)length) == 0);
}
