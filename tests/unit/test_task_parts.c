/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers and encodings of process properties: credentials, timers, filters, personality. */
#include "image/schema/seccomp.pb-c.h"
#include "task/creds.h"
#include "task/personality.h"
#include "task/ptimer.h"
#include "task/seccomp.h"

#include "base/auto.h"

#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ----------------------------------------------------------- credentials */

static const char status[] = "Name:\tUid:\\n\nUmask:\t0022\nState:\tt (tracing stop)\n"
			     "Uid:\t1000\t1001\t1002\t4294967294\n"
			     "Gid:\t10\t11\t12\t13\nFDSize:\t64\n"
			     "Groups:\t4 24 100000 \nNStgid:\t5\n"
			     "CapInh:\t0000000800000000\nCapPrm:\t000001ffffffffff\n"
			     "CapEff:\t0000000000000001\nCapBnd:\t000001fffeffffff\n"
			     "CapAmb:\t0000000800000000\nNoNewPrivs:\t1\nSeccomp:\t0\n";

static void test_creds_parse(void **state)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct creds c;

	assert_int_equal(creds_parse(status, a, &c, &err), 0);
	assert_int_equal(c.uid, 1000);
	assert_int_equal(c.euid, 1001);
	assert_int_equal(c.suid, 1002);
	assert_int_equal(c.fsuid, 4294967294U);
	assert_int_equal(c.fsgid, 13);
	assert_int_equal(c.ngroups, 3);
	assert_int_equal(c.groups[2], 100000);
	assert_int_equal(c.inh, 0x800000000);
	assert_int_equal(c.prm, 0x1ffffffffff);
	assert_int_equal(c.eff, 1);
	assert_int_equal(c.bnd, 0x1fffeffffff);
	assert_int_equal(c.amb, 0x800000000);
	assert_true(c.no_new_privs);
	arena_free(a);
}

static void test_creds_no_groups(void **state)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct creds c;
	char text[sizeof(status)];

	/* An empty list must not run on into the next line's number. */
	memcpy(text, status, sizeof(status));
	memcpy(strstr(text, "4 24 100000"), "           ", 11);
	assert_int_equal(creds_parse(text, a, &c, &err), 0);
	assert_int_equal(c.ngroups, 0);
	*strstr(text, "CapAmb") = 'X';
	assert_true(creds_parse(text, a, &c, &err) < 0);
	arena_free(a);
}

static void test_cap_words(void **state)
{
	uint32_t words[2];

	cap_to_words(0x1fffeffffff, words);
	assert_int_equal(words[0], 4278190079U); /* as in the samples */
	assert_int_equal(words[1], 511);
	assert_int_equal(cap_from_words(words, 2), 0x1fffeffffff);
	assert_int_equal(cap_from_words(words, 1), 0xfeffffff);
	assert_int_equal(cap_from_words(NULL, 0), 0);
	assert_string_equal(cap_name(24), "CAP_SYS_RESOURCE");
	assert_string_equal(cap_name(40), "CAP_CHECKPOINT_RESTORE");
	assert_non_null(cap_name(63));
}

/* ---------------------------------------------------------------- timers */

static void test_ptimer_parse(void **state)
{
	static const char text[] = "ID: 7\nsignal: 10/0000000000001234\nnotify: none/pid.33\n"
				   "ClockID: 7\n"
				   "ID: 3\nsignal: 36/ffffffffffffffff\nnotify: signal/tid.34\n"
				   "ClockID: -2\nFuture: x\n"
				   "ID: 0\nsignal: 0/0\nnotify: thread/pid.33\nClockID: 1\n";
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct ptimer *t;
	size_t n;

	assert_int_equal(ptimer_parse(text, a, &t, &n, &err), 0);
	assert_int_equal(n, 3);
	assert_int_equal(t[0].id, 0); /* sorted */
	assert_int_equal(t[0].notify, SIGEV_THREAD);
	assert_int_equal(t[1].id, 3);
	assert_int_equal(t[1].signo, 36);
	assert_true(t[1].value == UINT64_MAX);
	assert_int_equal(t[1].notify, SIGEV_THREAD_ID);
	assert_int_equal(t[1].tid, 34);
	assert_int_equal(t[1].clock, -2);
	assert_int_equal(t[2].notify, SIGEV_NONE);
	assert_int_equal(ptimer_parse("", a, &t, &n, &err), 0);
	assert_int_equal(n, 0);
	arena_free(a);
}

static void test_ptimer_junk(void **state)
{
	static const char *const junk[] = {
		"signal: 10/0\n",
		"ID: x\n",
		"ID: 99999999999\n",
		"ID: 1\nsignal: 99/0\n",
		"ID: 1\nnotify: carrier pigeon/pid.1\n",
		"ID: 1\nnotify: signal/uid.1\n",
		"ID: 1\nClockID: zero\n",
	};
	struct arena *a = arena_new();
	struct ptimer *t;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct err err = ERR_INIT;

		assert_true(ptimer_parse(junk[i], a, &t, &n, &err) < 0);
	}
	arena_free(a);
}

/* --------------------------------------------------------------- seccomp */

static struct seccomp_read filter_of(struct arena *a, uint16_t n, uint32_t k)
{
	struct sock_filter *f = arena_array_of(a, struct sock_filter, n);

	for (uint16_t i = 0; i < n; i++)
		f[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, k);
	return (struct seccomp_read){.insns = f, .n = n, .flags = k & 2};
}

static void test_seccomp_chain(void **state)
{
	struct arena *a = arena_new();
	struct seccomp_read first[2] = {filter_of(a, 3, 1), filter_of(a, 4, 2)};
	struct seccomp_read second[1] = {filter_of(a, 5, 3)};
	struct dchain c1 = {2, first}, c2 = {1, second};
	struct rtasks ts = {.a = a};
	SeccompEntry e = SECCOMP_ENTRY__INIT;
	struct seccomp_chain got;
	struct err err = ERR_INIT;
	uint32_t i1 = seccomp_chain_put(a, &e, &c1, false);
	uint32_t i2 = seccomp_chain_put(a, &e, &c2, true);

	/* Newest first; the index is the oldest's. */
	assert_int_equal(i1, 1);
	assert_int_equal(i2, 2);
	assert_int_equal(e.seccomp_filters[0]->filter.len, 4 * 8);
	assert_false(e.seccomp_filters[0]->has_prev);
	assert_int_equal(e.seccomp_filters[1]->prev, 0);
	assert_false(e.seccomp_filters[2]->has_prev);
	assert_int_equal(e.seccomp_filters[0]->flags, 2);
	assert_int_equal(e.seccomp_filters[2]->flags, 2 | 1);

	assert_int_equal(seccomp_filters_load(&ts, &e, &err), 0);
	assert_int_equal(seccomp_chain_load(&ts, i1, &got, &err), 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.filters[0]->n, 3); /* installed first */
	assert_int_equal(got.filters[1]->n, 4);
	assert_false(got.tsync);
	assert_int_equal(seccomp_chain_load(&ts, i2, &got, &err), 0);
	assert_int_equal(got.n, 1);
	assert_true(got.tsync);
	assert_true(seccomp_chain_load(&ts, 3, &got, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	arena_free(a);
}

static void test_seccomp_ring(void **state)
{
	struct arena *a = arena_new();
	struct seccomp_read f[2] = {filter_of(a, 1, 0), filter_of(a, 1, 0)};
	struct dchain c = {2, f};
	struct rtasks ts = {.a = a};
	SeccompEntry e = SECCOMP_ENTRY__INIT;
	struct seccomp_chain got;
	struct err err = ERR_INIT;

	(void)seccomp_chain_put(a, &e, &c, false);
	e.seccomp_filters[0]->has_prev = 1;
	e.seccomp_filters[0]->prev = 1;
	assert_int_equal(seccomp_filters_load(&ts, &e, &err), 0);
	assert_true(seccomp_chain_load(&ts, 1, &got, &err) < 0);
	e.seccomp_filters[0]->prev = 2;
	err = ERR_INIT;
	assert_true(seccomp_filters_load(&ts, &e, &err) < 0);
	e.seccomp_filters[0]->prev = 0;
	e.seccomp_filters[1]->filter.len = 7;
	err = ERR_INIT;
	assert_true(seccomp_filters_load(&ts, &e, &err) < 0);
	arena_free(a);
}

/* ----------------------------------------------------------- personality */

static void test_personality(void **state)
{
	static const uint32_t values[] = {0,	     8,		0x0040000, 0x0040008, 0x0400000,
					  0x0c40000, 0x8000000, 0xffe0000, 0x0080000};
	uint32_t back;

	assert_int_equal(personality_to_image(0x40000), 40000); /* as CRIU writes it */
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_true(personality_from_image(personality_to_image(values[i]), &back));
		assert_int_equal(back, values[i]);
	}
	assert_false(personality_from_image(1, &back));
	assert_false(personality_from_image(10000, &back));
	assert_false(personality_from_image(123456789, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_creds_parse),  cmocka_unit_test(test_creds_no_groups),
		cmocka_unit_test(test_cap_words),    cmocka_unit_test(test_ptimer_parse),
		cmocka_unit_test(test_ptimer_junk),  cmocka_unit_test(test_seccomp_chain),
		cmocka_unit_test(test_seccomp_ring), cmocka_unit_test(test_personality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
