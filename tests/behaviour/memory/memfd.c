/* SPDX-License-Identifier: Apache-2.0 */
/* A memfd: its bytes and holes, mapping, seals, name, and two separate opens of one object. */
#include "maps.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/stat.h>

enum { LEN = 20 * PAGE };

static int memfd_new(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	static char data[2 * PAGE];

	pattern_fill(data, sizeof(data), 1);
	MUST(fd >= 0 && ftruncate(fd, LEN) == 0);
	MUST(pwrite(fd, data, sizeof(data), 6 * PAGE) == sizeof(data));
	return fd;
}

BEHAVE("memfd with mapping, seals and two opens")
{
	int fd = memfd_new("torpor-one"), sealed = memfd_new("torpor sealed"), second;
	int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL;
	char path[32], link[64] = "";
	struct stat before, st, st2;
	char *p;

	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	second = open(path, O_RDONLY);
	MUST(p != MAP_FAILED && second >= 0);
	MUST(lseek(fd, 100, SEEK_SET) == 100 && lseek(second, 7, SEEK_SET) == 7);
	MUST(fcntl(sealed, F_ADD_SEALS, seals) == 0);
	MUST(fstat(fd, &before) == 0);
	FREEZE();
	CHECK(fstat(fd, &st) == 0 && st.st_size == LEN, "size %ld", (long)st.st_size);
	CHECK(st.st_blocks <= before.st_blocks, "holes were filled: %ld blocks, were %ld",
	      (long)st.st_blocks, (long)before.st_blocks);
	CHECK(pattern_is(p + 6 * PAGE, 2 * PAGE, 1) && is_zero(p, 6 * PAGE), "other bytes");
	CHECK(lseek(fd, 0, SEEK_CUR) == 100 && lseek(second, 0, SEEK_CUR) == 7, "positions");
	CHECK(fstat(second, &st2) == 0 && st.st_ino == st2.st_ino, "two objects instead of one");
	CHECK(write(second, "x", 1) < 0 && errno == EBADF, "the second open can write");
	p[19 * PAGE] = 'Z';
	CHECK(pread(second, link, 1, 19 * PAGE) == 1 && link[0] == 'Z', "the mapping is another's");
	CHECK(readlink(path, link, sizeof(link)) > 0 &&
		      strncmp(link, "/memfd:torpor-one (deleted)", 27) == 0,
	      "its name is %s", link);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(second, F_GETFD) == 0, "close-on-exec");
	CHECK(fcntl(fd, F_GET_SEALS) == 0, "seals %x", fcntl(fd, F_GET_SEALS));
	CHECK(fcntl(sealed, F_GET_SEALS) == seals, "seals %x", fcntl(sealed, F_GET_SEALS));
	CHECK(pwrite(sealed, "x", 1, 0) < 0 && errno == EPERM, "the seal doesn't hold");
	CHECK(pread(sealed, path, 8, 6 * PAGE) == 8 && pattern_is(path, 8, 1), "sealed bytes");
}
