/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols of a vDSO: mem/vdso_elf.c on our own, whole and damaged. */
#include "mem/vdso.h"
#include "mem/vdso_elf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_damaged),
	};
	struct err err = ERR_INIT;

	if (vdso_local_find(&own, &err) < 0)
		return 1;
	if (!own.bytes) /* vdso=0 on the kernel's command line */
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
