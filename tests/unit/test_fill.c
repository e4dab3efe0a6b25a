/* SPDX-License-Identifier: Apache-2.0 */
/* Pages into another process, by one thread and by several: mem/fill.c without a userfaultfd. */
#include "mem/fill.h"

#include "base/auto.h"
#include "base/pool.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#define PAGE  UINT64_C(4096)
#define HUGE  (UINT64_C(2) << 20)
#define PAGES 8192u /* 32 MiB */

static uint8_t *source; /* each page holds its number */
static uint8_t *area;	/* the same address here and there */
static struct target child;
static struct vma vma;

static int start(void **state)
{
	char path[32];
	size_t len = PAGES * PAGE + HUGE;

	source = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (source == MAP_FAILED || area == MAP_FAILED)
		return -1;
	area = (uint8_t *)(((uintptr_t)area + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	for (size_t i = 0; i < PAGES; i++)
		memset(source + i * PAGE, (int)(i % 251) + 1, PAGE);
	child.pid = fork();
	if (child.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d", child.pid);
	child.proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	vma = (struct vma){.start = (uintptr_t)area,
			   .end = (uintptr_t)area + PAGES * PAGE,
			   .status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE,
			   .flags = MAP_PRIVATE | MAP_ANONYMOUS};
	return child.proc < 0;
}

static int end(void **state)
{
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	close(child.proc);
	return 0;
}

static struct fill fill_of(size_t page, size_t npages, bool writable)
{
	return (struct fill){.va = (uintptr_t)area + page * PAGE,
			     .npages = npages,
			     .src = source + page * PAGE,
			     .vma = &vma,
			     .fresh = true,
			     .writable = writable};
}

/* A page has its bytes, or is untouched. */
static void expect_filled(const struct fill *fills, size_t n)
{
	uint8_t *got = malloc(PAGES * PAGE);
	struct iovec local = {got, PAGES * PAGE}, remote = {area, PAGES * PAGE};
	static const uint8_t zeroes[4096];
	size_t f = 0;

	assert_int_equal(sys_vm_readv(child.pid, &local, 1, &remote, 1), PAGES * PAGE);
	for (size_t i = 0; i < PAGES; i++) {
		uint64_t va = (uintptr_t)area + i * PAGE;
		bool filled;

		while (f < n && fills[f].va + fills[f].npages * PAGE <= va)
			f++;
		filled = f < n && fills[f].va <= va;
		if (memcmp(got + i * PAGE, filled ? source + i * PAGE : zeroes, PAGE) != 0)
			fail_msg("page %zu is wrong", i);
	}
	free(got);
}

static void clear(void)
{
	struct fill all = fill_of(0, PAGES, true);
	uint8_t *zero = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct err err = ERR_INIT;

	all.src = zero;
	assert_int_equal(fill_pages(&child, &all, 1, -1, NULL, &err), 0);
	munmap(zero, PAGES * PAGE);
}

static void check(const struct fill *fills, size_t n)
{
	struct pool *pool = pool_new(3);
	struct err err = ERR_INIT;

	clear();
	assert_int_equal(fill_pages(&child, fills, n, -1, NULL, &err), 0);
	expect_filled(fills, n);
	clear();
	assert_int_equal(fill_pages(&child, fills, n, -1, pool, &err), 0);
	expect_filled(fills, n);
	pool_free(pool);
}

/* Over several pieces of work, which begin anywhere. */
static void test_large(void **state)
{
	const struct fill fills[] = {fill_of(3, 3000, true), fill_of(3005, 5000, true)};

	check(fills, ARRAY_SIZE(fills));
}

static void test_many_small(void **state)
{
	struct fill fills[1500];

	for (size_t i = 0; i < ARRAY_SIZE(fills); i++)
		fills[i] = fill_of(i * 5, 1 + i % 3, i % 7 != 3);
	check(fills, ARRAY_SIZE(fills));
}

static void test_mixed(void **state)
{
	const struct fill fills[] = {
		fill_of(0, 1, true),	     fill_of(2, 1, true),     fill_of(4, 2000, true),
		fill_of(2010, 1, true),	     fill_of(2012, 1, false), fill_of(2013, 1500, false),
		fill_of(4000, 1, true),	     fill_of(4001, 1, true),  fill_of(4100, 3000, true),
		fill_of(PAGES - 1, 1, true),
	};

	check(fills, ARRAY_SIZE(fills));
}

/* The middle is whole huge pages; the ends of it aren't. */
static void test_huge(void **state)
{
	struct fill fills[] = {fill_of(1, 100, true), fill_of(101, 3000, true),
			       fill_of(3101, 100, true)};
	range_vec ranges = {0};

	fills[1].huge = true;
	fill_huge_ranges(fills, ARRAY_SIZE(fills), &ranges);
	assert_int_equal(ranges.len, 1);
	assert_int_equal(ranges.data[0].start, (uintptr_t)area + HUGE);
	assert_int_equal(ranges.data[0].end, (uintptr_t)area + 6 * HUGE);
	assert_true(fill_wants_uffd(fills, ARRAY_SIZE(fills)));
	fill_touch(&child, &ranges);
	check(fills, ARRAY_SIZE(fills));
	vec_done(&ranges);
}

/* What can't be written says so, whoever does it. */
static void test_failure(void **state)
{
	struct fill fill = fill_of(0, PAGES, true);
	struct pool *pool = pool_new(2);
	struct err err = ERR_INIT;

	fill.va = 0x1000;
	assert_true(fill_pages(&child, &fill, 1, -1, pool, &err) < 0);
	assert_true(err.code < 0 && err.text[0]);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large),	cmocka_unit_test(test_many_small),
		cmocka_unit_test(test_mixed),	cmocka_unit_test(test_huge),
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, start, end);
}
