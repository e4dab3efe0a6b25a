/* SPDX-License-Identifier: Apache-2.0 */
/* When pages are written past the page cache: mem/direct.c. */
#include "base/auto.h"
#include "mem/direct.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void test_percent(void **state)
{
	/* Writers are held up from 1.5 GiB on: halfway between 10 and 20 percent of 10 GiB. */
	struct cache_state c = {.dirtyable = 10 * GIB, .percent = 20, .background_percent = 10};

	assert_false(direct_pays(&c, 64 * MIB));
	assert_false(direct_pays(&c, 1400 * MIB));
	assert_true(direct_pays(&c, 1600 * MIB));
	c.unwritten = 1400 * MIB;
	assert_false(direct_pays(&c, 64 * MIB));
	assert_true(direct_pays(&c, 200 * MIB));
	c.unwritten = 8 * GIB;
	assert_true(direct_pays(&c, 1));
}

static void test_bytes(void **state)
{
	struct cache_state c = {.dirtyable = 10 * GIB,
				.percent = 20,
				.background_percent = 10,
				.limit = 200 * MIB,
				.background = 100 * MIB};

	assert_false(direct_pays(&c, 140 * MIB));
	assert_true(direct_pays(&c, 160 * MIB));
	/* A background limit above the other counts as half of that. */
	c.background = GIB;
	assert_false(direct_pays(&c, 140 * MIB));
	assert_true(direct_pays(&c, 160 * MIB));
}

static void test_this_machine(void **state)
{
	int fd = memfd_create("test_direct", MFD_CLOEXEC);
	struct cache_state c = {0};

	assert_int_equal(cache_state_read(&c), 0);
	assert_true(c.dirtyable > MIB);
	assert_true(c.limit || c.percent);
	assert_true(c.background || c.background_percent);
	assert_true(direct_pays(&c, 1000 * c.dirtyable));
	assert_false(direct_is_possible(fd)); /* memory: there is no disk behind it */
	assert_false(direct_is_possible(-1));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
