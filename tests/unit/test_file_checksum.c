/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of files, in pieces and over holes, against one that reads every byte. */
#include "base/auto.h"
#include "base/crc32c.h"
#include "file/contents.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MIB (1024u * 1024)

static int scratch_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void put_random(int fd, uint64_t at, size_t len, uint32_t seed)
{
	auto_free uint8_t *data = malloc(len);

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = (uint8_t)(seed >> 24);
	}
	assert_int_equal(pwrite(fd, data, len, (off_t)at), len);
}

/* As the format means it, byte by byte. */
static uint32_t naive(int fd, const struct sum_spec *spec, uint64_t size)
{
	auto_free uint8_t *all = malloc(size + 1);
	uint64_t step = spec->part == SUM_EVERY ? spec->param : 1;
	uint64_t end = spec->part == SUM_FIRST ? MIN(size, (uint64_t)spec->param) : size;
	uint32_t crc = 0;

	assert_int_equal(pread(fd, all, size, 0), size);
	for (uint64_t at = 0; at < end; at += step)
		crc = crc32c_by_table(crc, all + at, 1);
	return crc;
}

static void check(int fd, const struct sum_spec *spec, uint64_t size)
{
	uint32_t crc, part, want = naive(fd, spec, size);
	uint64_t reach = sum_reach(spec, size), from = 0, to;
	uint64_t cuts[] = {0, 1, reach / 3, reach / 2 + 1, reach};

	assert_int_equal(sum_range(fd, spec, 0, reach, &crc), 0);
	assert_int_equal(crc, want);
	/* In pieces. */
	crc = 0;
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		to = MAX(from, MIN(cuts[i], reach));
		assert_int_equal(sum_range(fd, spec, from, to, &part), 0);
		crc = crc32c_combine(crc, part, sum_count(spec, from, to));
		from = to;
	}
	assert_int_equal(crc, want);
}

static const struct sum_spec specs[] = {
	{SUM_FULL, 0},	   {SUM_FIRST, 1},    {SUM_FIRST, 1024},  {SUM_FIRST, 5 * MIB},
	{SUM_EVERY, 1},	   {SUM_EVERY, 7},    {SUM_EVERY, 1024},  {SUM_EVERY, 4095},
	{SUM_EVERY, 4096}, {SUM_EVERY, 5000}, {SUM_EVERY, 99999}, {SUM_EVERY, UINT32_MAX},
};

static void every_part_of_every_shape(void **state)
{
	static const uint64_t sizes[] = {0, 1, 1023, 1024, 1025, 4096, 300001, 3 * MIB + 5};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		auto_close int dense = scratch_file(), holes = scratch_file(),
			       hole = scratch_file();

		put_random(dense, 0, sizes[i], 1);
		assert_int_equal(ftruncate(holes, (off_t)sizes[i]), 0);
		assert_int_equal(ftruncate(hole, (off_t)sizes[i]), 0);
		for (uint64_t at = 8192; at + 5000 < sizes[i]; at += 200000)
			put_random(holes, at, 5000, (uint32_t)at);
		for (size_t k = 0; k < ARRAY_SIZE(specs); k++) {
			check(dense, &specs[k], sizes[i]);
			check(holes, &specs[k], sizes[i]);
			check(hole, &specs[k], sizes[i]);
		}
	}
}

static void zeros_are_zeros(void **state)
{
	auto_free uint8_t *zeros = calloc(1, 70000);

	for (size_t len = 0; len < 70000; len += 1 + len / 3) {
		assert_int_equal(crc32c_zeros(0, len), crc32c(0, zeros, len));
		assert_int_equal(crc32c_zeros(0xe3069283, len), crc32c(0xe3069283, zeros, len));
	}
	/* One and the same, however they are counted. */
	assert_int_equal(crc32c_zeros(5, UINT64_C(1) << 40),
			 crc32c_zeros(crc32c_zeros(5, (UINT64_C(1) << 40) - 12345), 12345));
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void holes_cost_nothing(void **state)
{
	auto_close int fd = scratch_file();
	const uint64_t size = UINT64_C(10) << 30;
	double begin = seconds();
	uint32_t a, b;

	put_random(fd, size / 2, 4096, 9);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(sum_range(fd, &specs[0], 0, size, &a), 0);
	put_random(fd, size / 2, 4096, 8);
	assert_int_equal(sum_range(fd, &specs[0], 0, size, &b), 0);
	assert_int_not_equal(a, b);
	if (seconds() - begin > 2) /* milliseconds, but for a busy machine */
		fail_msg("two sums of a sparse file took %.1f s", seconds() - begin);
}

static void a_file_that_is_too_short(void **state)
{
	auto_close int fd = scratch_file();
	uint32_t crc;

	put_random(fd, 0, 100, 1);
	assert_int_equal(sum_range(fd, &specs[0], 0, 101, &crc), -EIO);
	assert_int_equal(sum_range(-1, &specs[0], 0, 1, &crc), -EBADF);
}

static void values_of_images(void **state)
{
	assert_true(sum_spec_is_valid(SUM_FULL, 0));
	assert_true(sum_spec_is_valid(SUM_FIRST, 1) && sum_spec_is_valid(SUM_EVERY, UINT32_MAX));
	assert_false(sum_spec_is_valid(SUM_FIRST, 0) || sum_spec_is_valid(SUM_EVERY, 0));
	assert_false(sum_spec_is_valid(3, 1) || sum_spec_is_valid(UINT32_MAX, 1));
}

/* ----------------------------------------------------------------- contents */

struct fixture {
	char dir[32], path[64];
	struct arena *a;
	int root;
	struct contents *c;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->dir, "/tmp/test-sum-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->path, sizeof(x->path), "%s/file", x->dir);
	x->a = arena_new();
	x->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	x->c = contents_new(x->root, x->a);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	contents_free(x->c);
	arena_free(x->a);
	close(x->root);
	unlink(x->path);
	rmdir(x->dir);
	free(x);
	return 0;
}

/* A file large enough for several threads, summed once for all who ask. */
static void each_inode_once(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = open(x->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const uint64_t size = 300ull * MIB;
	struct content *o;
	struct sum *full, *first;
	struct stat st;
	uint32_t crc, want;

	put_random(fd, 70ull * MIB - 100, 200, 3);
	put_random(fd, 280ull * MIB, MIB, 4);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fstat(fd, &st), 0);
	o = content_of(x->c, x->path, &st);
	assert_ptr_equal(o, content_of(x->c, x->path, &st));
	full = content_sum(x->c, o, &specs[0], size);
	first = content_sum(x->c, o, &specs[2], size);
	assert_ptr_equal(full, content_sum(x->c, o, &specs[0], size));
	assert_ptr_not_equal(full, first);
	contents_wait(x->c);
	assert_int_equal(sum_range(fd, &specs[0], 0, size, &want), 0);
	assert_int_equal(sum_result(full, &crc), 0);
	assert_int_equal(crc, want);
	assert_int_equal(sum_result(first, &crc), 0);
	assert_int_equal(crc, crc32c_zeros(0, 1024));
	/* Written to: another state, another content. */
	put_random(fd, 0, 10, 1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_ptr_not_equal(o, content_of(x->c, x->path, &st));
	assert_int_equal(contents_count(x->c), 2);
}

static void another_file_at_the_name(void **state)
{
	struct fixture *x = *state;
	struct content *o;
	const uint32_t *words;
	struct stat st;
	uint32_t crc;
	int fd = open(x->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	put_random(fd, 0, 100, 3);
	assert_int_equal(fstat(fd, &st), 0);
	o = content_of(x->c, x->path, &st);
	unlink(x->path);
	assert_int_equal(content_open(x->c, o), -ENOENT);
	assert_int_equal(symlink("/etc/passwd", x->path), 0);
	assert_int_equal(content_open(x->c, o), -ELOOP);
	unlink(x->path);
	assert_int_equal(mkdir(x->path, 0700), 0);
	assert_int_equal(content_open(x->c, o), -ESTALE);
	assert_int_equal(sum_result(content_sum(x->c, o, &specs[0], 100), &crc), -ESTALE);
	assert_int_equal(content_build_id(x->c, o, &words), 0);
	rmdir(x->path);
	close(fd);
}

static void made_up_file_systems(void **state)
{
	assert_false(contents_are_real(0x9fa0));     /* procfs */
	assert_false(contents_are_real(0x62656572)); /* sysfs */
	assert_true(contents_are_real(0xef53));	     /* ext4 */
	assert_true(contents_are_real(0x794c7630));  /* overlayfs */
	assert_true(contents_are_real(0));	     /* unknown */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_are_zeros),
		cmocka_unit_test(every_part_of_every_shape),
		cmocka_unit_test(holes_cost_nothing),
		cmocka_unit_test(a_file_that_is_too_short),
		cmocka_unit_test(values_of_images),
		cmocka_unit_test_setup_teardown(each_inode_once, setup, teardown),
		cmocka_unit_test_setup_teardown(another_file_at_the_name, setup, teardown),
		cmocka_unit_test(made_up_file_systems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
