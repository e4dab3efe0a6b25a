/* SPDX-License-Identifier: Apache-2.0 */
/* The table of kernel features. What they answer depends on the kernel; that they do doesn't. */
#include "engine/feature.h"

#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What it prints doesn't belong between the lines of the test's own report. */
static int check(const char *name, struct err *err)
{
	struct options o = OPTIONS_DEFAULT;
	int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int r;

	fflush(stdout);
	dup2(null, STDOUT_FILENO);
	o.feature = name;
	*err = ERR_INIT;
	r = features_check(&o, err);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(null);
	return r;
}

/* Names that other programs ask for. */
static void test_contract_names(void **state)
{
	static const char *const names[] = {"mem_dirty_track", "uffd-noncoop", "external_net_ns",
					    "clone3_set_tid",  "pidfd_store",  "timens"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct err err;

		assert_true(check(names[i], &err) >= 0);
	}
}

static void test_unknown_names(void **state)
{
	static const char *const names[] = {"", "list", "mnt_i", "mnt_id2"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct err err;

		assert_true(check(names[i], &err) < 0);
		assert_int_equal(err.kind, ERR_INPUT);
	}
}

/* No probe may crash, hang, or leave a child, whoever runs it. */
static void test_all_probes(void **state)
{
	size_t n = 0;

	for (; feature_name(n); n++) {
		struct err err;
		int r = check(feature_name(n), &err);

		assert_in_range(r, 0, 1);
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(feature_name(i), feature_name(n));
	}
	assert_true(n >= 45);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contract_names),
		cmocka_unit_test(test_unknown_names),
		cmocka_unit_test(test_all_probes),
	};

	log_init(LOG_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
