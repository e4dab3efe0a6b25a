/* SPDX-License-Identifier: Apache-2.0 */
/* What pictures of address spaces are made of: bins, shared ranges, widths, text. */
#include "base/auto.h"
#include "inspect/map_layout.h"
#include "inspect/map_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* -------------------------------------------------------------------- bins */

static uint64_t sum_of(const struct amap_bins *b, enum amap_layer layer, unsigned int level)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < b->n; i++)
		sum += b->bins[i].n[layer][level];
	return sum;
}

static uint64_t size_of(const struct amap_bins *b, size_t i)
{
	return amap_bins_edge(b, i + 1) - amap_bins_edge(b, i);
}

static void bins_cover_all_pages_once(void **state)
{
	static const uint64_t sizes[] = {
		1, 2, 7, 199, 200, 201, 1000, 12345, UINT64_C(1) << 40, (UINT64_C(1) << 52) - 1};

	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct arena *a = arena_new();
		struct amap_bins b;

		amap_bins_init(&b, a, sizes[k], AMAP_BINS_MAX + 50);
		assert_int_equal(b.n, MIN(sizes[k], (uint64_t)AMAP_BINS_MAX));
		assert_int_equal(amap_bins_edge(&b, 0), 0);
		assert_int_equal(amap_bins_edge(&b, b.n), sizes[k]);
		amap_bins_add(&b, 0, sizes[k], AMAP_OWN, 0);
		for (size_t i = 0; i < b.n; i++) {
			assert_true(size_of(&b, i) > 0);
			assert_int_equal(b.bins[i].n[AMAP_OWN][0], size_of(&b, i));
		}
		arena_free(a);
	}
}

/* Page by page into the bin whose edges are around it; in runs of any length the same. */
static void runs_fall_into_the_bins_of_their_pages(void **state)
{
	struct arena *a = arena_new();
	struct amap_bins runs, pages;
	uint64_t n = 1009, at = 0;

	amap_bins_init(&runs, a, n, 37);
	amap_bins_init(&pages, a, n, 37);
	for (uint64_t len = 1; at < n; at += len, len = len * 5 % 61 + 1) {
		amap_bins_add(&runs, at, len, AMAP_COW, 3);
		for (uint64_t page = at; page < at + len; page++)
			amap_bins_add(&pages, page, 1, AMAP_COW, 3);
	}
	for (size_t i = 0; i < runs.n; i++) {
		assert_int_equal(runs.bins[i].n[AMAP_COW][3], size_of(&runs, i));
		assert_int_equal(pages.bins[i].n[AMAP_COW][3], size_of(&pages, i));
	}
	assert_int_equal(sum_of(&runs, AMAP_OWN, 3), 0);
	arena_free(a);
}

static void pages_behind_the_end_are_cut(void **state)
{
	struct arena *a = arena_new();
	struct amap_bins b;

	amap_bins_init(&b, a, 100, 10);
	amap_bins_add(&b, 95, UINT64_MAX, AMAP_WRITTEN, 7);
	amap_bins_add(&b, 100, 1, AMAP_WRITTEN, 7);
	amap_bins_add(&b, UINT64_MAX, 1, AMAP_WRITTEN, 7);
	amap_bins_add(&b, 5, 0, AMAP_WRITTEN, 7);
	assert_int_equal(b.bins[9].n[AMAP_WRITTEN][7], 5);
	assert_int_equal(sum_of(&b, AMAP_WRITTEN, 7), 5);
	arena_free(a);
}

static void counts_tell_what_is_kept(void **state)
{
	struct amap_counts c = {0}, sum = {0};

	c.n[AMAP_OWN][0] = 1;
	c.n[AMAP_OWN][7] = 20;
	c.n[AMAP_COW][3] = 300;
	c.n[AMAP_WRITTEN][2] = 4000;
	assert_int_equal(amap_kept(&c), 321);
	amap_counts_add(&sum, &c);
	amap_counts_add(&sum, &c);
	assert_int_equal(amap_kept(&sum), 642);
	assert_int_equal(amap_layer_sum(&sum, AMAP_WRITTEN), 8000);
}

/* ----------------------------------------------------------------- sharing */

static void check_shared(const struct amap *am, size_t level, uint64_t id, uint64_t page,
			 bool shared, uint64_t npages)
{
	struct page_origin o = {page * AMAP_PAGE, 10, level, id};
	uint64_t len = 0;

	assert_int_equal(amap_is_shared(am, &o, &len), shared);
	assert_int_equal(len / AMAP_PAGE, npages);
}

static void shared_ranges_cut_what_is_asked_for(void **state)
{
	struct amap_shared_range ranges[] = {
		{0, 7, 10 * AMAP_PAGE, 20 * AMAP_PAGE},
		{0, 7, 25 * AMAP_PAGE, 26 * AMAP_PAGE},
		{0, 9, 0, 100 * AMAP_PAGE},
		{2, 7, 50 * AMAP_PAGE, 60 * AMAP_PAGE},
	};
	struct amap am = {0};

	check_shared(&am, 0, 7, 10, false, 10);
	am.shared.data = ranges;
	am.shared.len = ARRAY_SIZE(ranges);
	check_shared(&am, 0, 7, 0, false, 10);
	check_shared(&am, 0, 7, 5, false, 5);
	check_shared(&am, 0, 7, 10, true, 10);
	check_shared(&am, 0, 7, 15, true, 5);
	check_shared(&am, 0, 7, 20, false, 5);
	check_shared(&am, 0, 7, 25, true, 1);
	check_shared(&am, 0, 7, 26, false, 10);
	check_shared(&am, 0, 8, 10, false, 10);
	check_shared(&am, 0, 9, 42, true, 10);
	check_shared(&am, 1, 7, 10, false, 10);
	check_shared(&am, 2, 7, 55, true, 5);
}

/* ------------------------------------------------------------------ widths */

static void eight_times_as_large_is_twice_as_wide(void **state)
{
	int last = 0;

	for (uint64_t n = 1; n < UINT64_C(1) << 17; n = n * 9 / 8 + 1) {
		int w = amap_width_of(n), wider = amap_width_of(8 * n);

		assert_true(w >= last);
		assert_true(wider >= 2 * w - 2 && wider <= 2 * w + 2);
		last = w;
	}
	assert_true(amap_width_of(1) >= 5);
	assert_true(amap_width_of(UINT64_MAX) < AMAP_WIDTH);
	assert_int_equal(amap_width_of(UINT64_MAX), amap_width_of(UINT64_C(1) << 40));
	assert_int_equal(amap_width_of(0), amap_width_of(1));
}

/* -------------------------------------------------------------------- text */

static void check_text(const char *in, size_t max, const char *want)
{
	char *got = NULL;
	size_t len;
	FILE *out = open_memstream(&got, &len);

	amap_put_text(out, in, max);
	fclose(out);
	assert_string_equal(got, want);
	free(got);
}

static void text_is_nothing_but_text(void **state)
{
	check_text("", 10, "");
	check_text("/usr/bin/caf\u00e9 \u65e5\U0001f600", 100,
		   "/usr/bin/caf\u00e9 \u65e5\U0001f600");
	check_text("<a b='c' d=\"e\">&", 100, "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
	check_text("a\tb\nc\x1b[0m\x7f", 100, "a\\x09b\\x0ac\\x1b[0m\\x7f");
	/* C1, zero width, right to left, a separator, no character at all */
	check_text("\xc2\x85\u200b\u202e\u2028\uffff", 100,
		   "\\xc2\\x85\\xe2\\x80\\x8b\\xe2\\x80\\xae\\xe2\\x80\\xa8\\xef\\xbf\\xbf");
	/* Not UTF-8: alone, too long, a surrogate, too large, cut off. */
	check_text("\x80|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82", 100,
		   "\\x80|\\xc0\\xaf|\\xed\\xa0\\x80|\\xf4\\x90\\x80\\x80|\\xe2\\x82");
	check_text("abcdef", 3, "abc\u2026");
	check_text("\u00e9\u00e9\u00e9", 3, "\u00e9\u00e9\u00e9");
}

static void sizes_are_short(void **state)
{
	assert_string_equal(amap_pages(0).s, "0");
	assert_string_equal(amap_pages(1).s, "4K");
	assert_string_equal(amap_pages(250).s, "1.0M");
	assert_string_equal(amap_pages(384).s, "1.5M");
	assert_string_equal(amap_pages(25600).s, "100M");
	assert_string_equal(amap_pages(UINT64_C(1) << 28).s, "1.0T");
	assert_string_equal(amap_pages(UINT64_MAX).s, "16E");
	assert_string_equal(amap_bytes(UINT64_C(1) << 60).s, "1.0E");
}

static void base_names(void **state)
{
	assert_string_equal(amap_base_name("/lib/libc.so.6"), "libc.so.6");
	assert_string_equal(amap_base_name("[heap]"), "[heap]");
	assert_string_equal(amap_base_name("/"), "/");
	assert_string_equal(amap_base_name("/dir/"), "/dir/");
	assert_string_equal(amap_base_name(""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bins_cover_all_pages_once),
		cmocka_unit_test(runs_fall_into_the_bins_of_their_pages),
		cmocka_unit_test(pages_behind_the_end_are_cut),
		cmocka_unit_test(counts_tell_what_is_kept),
		cmocka_unit_test(shared_ranges_cut_what_is_asked_for),
		cmocka_unit_test(eight_times_as_large_is_twice_as_wide),
		cmocka_unit_test(text_is_nothing_but_text),
		cmocka_unit_test(sizes_are_short),
		cmocka_unit_test(base_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
