/* SPDX-License-Identifier: Apache-2.0 */
/* Cold pages files come into the page cache by themselves: image/readahead.c. */
#include "image/readahead.h"

#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LEN   (UINT64_C(3) << 20)
#define PAGES ((int64_t)(LEN / 4096))

static struct img_dir dir;

/* A file that is only on disk (if it is on one at all). */
static int cold_file(const char *name)
{
	static char buf[LEN] = "x";
	int fd = openat(dir.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, buf, LEN, 0), LEN);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	return fd;
}

static void wait_until_cached(int fd)
{
	int ms = 0;

	while (sys_cached_pages(fd, 0, LEN) < PAGES && ms++ < 10000)
		usleep(1000);
	assert_int_equal(sys_cached_pages(fd, 0, LEN), PAGES);
}

static void test_files(void **state)
{
	int a = cold_file("pages-2.img"), b = cold_file("pages-10.img"), c = cold_file("other");
	int64_t other = sys_cached_pages(c, 0, LEN);
	struct readahead *r;

	if (other == -ENOSYS)
		return; /* before 6.5 */
	r = readahead_new(&dir);
	wait_until_cached(a);
	wait_until_cached(b);
	readahead_free(r);
	assert_int_equal(sys_cached_pages(c, 0, LEN), other);
	close(a);
	close(b);
	close(c);
}

static void test_map(void **state)
{
	int fd = cold_file("pages-2.img");
	uint8_t *p = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
	struct page_piece pieces[] = {
		{.npages = LEN / 8192, .src = p},
		{.npages = LEN / 8192, .src = p + LEN / 2},
	};
	const struct page_map map = {.pieces = pieces, .n = 2};
	struct img_dir none = {.fd = -EBADF};
	struct readahead *r = readahead_new(&none);

	if (sys_cached_pages(fd, 0, LEN) == -ENOSYS)
		return;
	readahead_map(r, &map);
	wait_until_cached(fd);
	readahead_free(r);
	munmap(p, LEN);
	close(fd);
}

static void test_nothing(void **state)
{
	struct img_dir none = {.fd = -EBADF};

	readahead_free(readahead_new(&none));
	readahead_free(NULL);
}

static int make_dir(void **state)
{
	static char name[] = "/tmp/test_readahead.XXXXXX";

	dir.path = mkdtemp(name);
	dir.fd = dir.path ? open(dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir.fd < 0;
}

static int remove_dir(void **state)
{
	unlinkat(dir.fd, "pages-2.img", 0);
	unlinkat(dir.fd, "pages-10.img", 0);
	unlinkat(dir.fd, "other", 0);
	close(dir.fd);
	return rmdir(dir.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
