/* SPDX-License-Identifier: Apache-2.0 */
/* XSAVE images to records and back, on CPUs that needn't be this one. */
#include "task/arch/x86_64/fpu.h"

#include "base/auto.h"
#include "image/schema/core-x86.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A CPU with AVX-512 and PKU, and one with AVX only and another order. */
static const struct xstate_layout big = {
	.size = 2440,
	.features = 0x2e7,
	.offset = {[2] = 576, [5] = 832, [6] = 896, [7] = 1408, [9] = 2432},
	.len = {[2] = 256, [5] = 64, [6] = 512, [7] = 1024, [9] = 8},
};
static const struct xstate_layout moved = {
	.size = 2496,
	.features = 0x2e7,
	.offset = {[9] = 576, [7] = 640, [6] = 1664, [5] = 2176, [2] = 2240},
	.len = {[2] = 256, [5] = 64, [6] = 512, [7] = 1024, [9] = 8},
};
static const struct xstate_layout small = {
	.size = 832, .features = 7, .offset = {[2] = 576}, .len = {[2] = 256}};

static void set_bv(uint8_t *xsave, uint64_t bv)
{
	memset(xsave + 512, 0, 64);
	memcpy(xsave + 512, &bv, sizeof(bv));
}

static void fill(const struct xstate_layout *l, uint64_t bv, uint8_t *xsave)
{
	for (size_t i = 0; i < l->size; i++)
		xsave[i] = (uint8_t)random();
	/* What the kernel keeps for itself in the legacy area isn't state. */
	memset(xsave + 416, 0, 96);
	set_bv(xsave, bv);
}

static UserX86FpregsEntry record_of(const struct xstate_layout *l, const uint8_t *xsave,
				    struct arena *a)
{
	UserX86FpregsEntry f = USER_X86_FPREGS_ENTRY__INIT;
	struct err err = ERR_INIT;

	assert_int_equal(fpu_to_image(l, xsave, l->size, a, &f, &err), 0);
	assert_int_equal(fpu_check_image(&f, &err), 0);
	return f;
}

static void test_round_trip(void **state)
{
	struct arena *a = arena_new();

	for (int i = 0; i < 100; i++) {
		uint8_t before[2496], after[2496], third[2496];
		UserX86FpregsEntry f, g;

		fill(&big, 0x2e7, before);
		f = record_of(&big, before, a);
		assert_int_equal(f.xsave->n_hi16_zmm, 128);
		assert_int_equal(f.xsave->n_bndreg_state, 0);
		fpu_from_image(&big, &f, after);
		assert_memory_equal(before, after, big.size);
		/* Through a CPU that puts things elsewhere. */
		fpu_from_image(&moved, &f, after);
		g = record_of(&moved, after, a);
		fpu_from_image(&big, &g, third);
		assert_memory_equal(before, third, big.size);
	}
	arena_free(a);
}

static void test_initial_components(void **state)
{
	uint8_t before[2496], after[2496];
	struct arena *a = arena_new();
	UserX86FpregsEntry f;
	uint64_t bv;

	/* As in the samples: x87 untouched, SSE, opmask and hi16 in use. */
	fill(&big, 0xa2, before);
	f = record_of(&big, before, a);
	assert_int_equal(f.xsave->xstate_bv, 0xa2);
	assert_int_equal(f.xsave->n_ymmh_space, 64); /* recorded though not in use */
	fpu_from_image(&big, &f, after);
	memcpy(&bv, after + 512, sizeof(bv));
	assert_int_equal(bv, 0xa3); /* the legacy area counts always */
	assert_memory_equal(before, after, 512);
	assert_memory_equal(before + 1408, after + 1408, 1024);
	for (int i = 576; i < 832; i++)
		assert_int_equal(after[i], 0);
	arena_free(a);
}

static void test_missing_features(void **state)
{
	uint8_t before[2496], after[2496];
	struct arena *a = arena_new();
	UserX86FpregsEntry f;

	fill(&big, 0x2e7, before);
	f = record_of(&big, before, a);
	assert_int_equal(fpu_missing(&big, &f), 0);
	assert_int_equal(fpu_missing(&small, &f), 0x2e0);
	assert_string_equal(xstate_name((unsigned int)__builtin_ctzll(fpu_missing(&small, &f))),
			    "AVX-512");
	/* Not in use: no obstacle, though the arrays are there. */
	set_bv(before, 7);
	f = record_of(&big, before, a);
	assert_int_equal(fpu_missing(&small, &f), 0);
	fpu_from_image(&small, &f, after);
	assert_memory_equal(before + 576, after + 576, 256);
	arena_free(a);
}

static void test_refusals(void **state)
{
	struct arena *a = arena_new();
	UserX86FpregsEntry f = USER_X86_FPREGS_ENTRY__INIT;
	struct err err = ERR_INIT;
	uint8_t xsave[2496];

	fill(&big, 0x7 | 1ULL << 18, xsave); /* AMX tiles */
	assert_true(fpu_to_image(&big, xsave, big.size, a, &f, &err) < 0);
	assert_int_equal(err.kind, ERR_REFUSED);
	err = ERR_INIT;
	assert_true(fpu_to_image(&big, xsave, 600, a, &f, &err) < 0);

	fill(&big, 0xe7, xsave);
	f = record_of(&big, xsave, a);
	f.n_st_space = 31;
	err = ERR_INIT;
	assert_true(fpu_check_image(&f, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	f.n_st_space = 32;
	f.xsave->n_zmm_upper = 63;
	err = ERR_INIT;
	assert_true(fpu_check_image(&f, &err) < 0);
	f.xsave->n_zmm_upper = 0; /* in use, says xstate_bv */
	err = ERR_INIT;
	assert_true(fpu_check_image(&f, &err) < 0);
	f.xsave->xstate_bv &= ~0x40ULL;
	err = ERR_INIT;
	assert_int_equal(fpu_check_image(&f, &err), 0);
	f.twd = 0x10000;
	assert_true(fpu_check_image(&f, &err) < 0);
	arena_free(a);
}

static void test_legacy_only(void **state)
{
	static const struct xstate_layout none = {.size = 512, .features = 3};
	uint8_t before[512], after[512];
	struct arena *a = arena_new();
	UserX86FpregsEntry f;

	for (size_t i = 0; i < 416; i++)
		before[i] = (uint8_t)random();
	memset(before + 416, 0, 96);
	f = record_of(&none, before, a);
	assert_null(f.xsave);
	fpu_from_image(&none, &f, after);
	assert_memory_equal(before, after, 512);
	arena_free(a);
}

static void test_local_layout(void **state)
{
	struct xstate_layout l;

	xstate_layout_local(&l);
	assert_int_equal(l.features & 3, 3);
	for (unsigned int i = 2; i < XSTATE_MAX; i++)
		if (l.features >> i & 1)
			assert_true(l.offset[i] >= 576 && l.offset[i] + l.len[i] <= l.size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),	 cmocka_unit_test(test_initial_components),
		cmocka_unit_test(test_missing_features), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_legacy_only),	 cmocka_unit_test(test_local_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
