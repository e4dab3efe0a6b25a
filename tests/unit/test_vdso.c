/* SPDX-License-Identifier: Apache-2.0 */
/* A vDSO that was brought here from elsewhere: mem/vdso_elf.c, mem/vdso.c on our own. */
#include "mem/vdso.h"
#include "mem/vdso_elf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

static struct vdso_local own;

static void test_local(void **state)
{
	assert_int_equal((uintptr_t)own.bytes, getauxval(AT_SYSINFO_EHDR));
	assert_true(own.len >= 4096 && own.len % 4096 == 0);
	assert_true(own.vvar_len >= 4096 && own.vvar_len % 4096 == 0);
}

static void test_symbols(void **state)
{
	uint64_t off, size;

	assert_true(vdso_find(own.bytes, own.len, "__vdso_clock_gettime", &off, &size));
	assert_true(off > 0 && off + size <= own.len && size > 12);
	assert_true(vdso_find(own.bytes, own.len, "__vdso_getcpu", &off, &size));
	assert_false(vdso_find(own.bytes, own.len, "__vdso_clock", &off, &size));
	assert_false(vdso_find(own.bytes, own.len, "LINUX_2.6", &off, &size));
}

/* Every byte of the headers and tables turned: an answer inside the image, or none. */
static void test_damaged(void **state)
{
	uint8_t *copy = malloc(own.len);
	uint64_t off, size;

	for (size_t i = 0; i < own.len; i++) {
		memcpy(copy, own.bytes, own.len);
		copy[i] ^= 0xff;
		if (vdso_find(copy, own.len, "__vdso_time", &off, &size))
			assert_true(off <= own.len && size <= own.len - off);
	}
	for (size_t len = 0; len < own.len; len += 7) {
		uint8_t *part = malloc(len + 1);

		memcpy(part, own.bytes, len);
		(void)vdso_find(part, len, "__vdso_time", &off, &size);
		free(part);
	}
	free(copy);
}

typedef int (*clock_fn)(clockid_t, struct timespec *);

/* A copy of our vDSO as plain memory, with zeroes in place of the kernel's data in front of it. */
static uint8_t *copy_vdso(void)
{
	uint8_t *p = mmap(NULL, own.vvar_len + own.len, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return memcpy(p + own.vvar_len, own.bytes, own.len);
}

static void check_clock(uint8_t *copy)
{
	struct timespec before, now = {0}, after;
	uint64_t off, size;
	clock_fn fn;

	assert_true(vdso_find(own.bytes, own.len, "__vdso_clock_gettime", &off, &size));
	fn = (clock_fn)(void *)(copy + off);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(fn(CLOCK_MONOTONIC, &now), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(now.tv_sec * 1000000000 + now.tv_nsec >=
		    before.tv_sec * 1000000000 + before.tv_nsec);
	assert_true(now.tv_sec * 1000000000 + now.tv_nsec <=
		    after.tv_sec * 1000000000 + after.tv_nsec);
}

/* What a thread sees that was stopped in the middle of an old function. */
static void test_without_clock_source(void **state)
{
	uint8_t *copy = copy_vdso();

	check_clock(copy);
	munmap(copy - own.vvar_len, own.vvar_len + own.len);
}

static void test_redirected(void **state)
{
	uint8_t *copy = copy_vdso();
	uint64_t off, size;

	assert_int_equal(vdso_redirect(copy, own.len, &own, (uintptr_t)own.bytes), 5);
	assert_true(vdso_find(own.bytes, own.len, "__vdso_clock_gettime", &off, &size));
	assert_memory_equal(copy + off, "\x48\xb8", 2);
	check_clock(copy);
	munmap(copy - own.vvar_len, own.vvar_len + own.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local),	   cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_damaged),	   cmocka_unit_test(test_without_clock_source),
		cmocka_unit_test(test_redirected),
	};
	struct err err = ERR_INIT;

	if (vdso_local_find(&own, &err) < 0)
		return 1;
	if (!own.bytes) /* vdso=0 on the kernel's command line */
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
