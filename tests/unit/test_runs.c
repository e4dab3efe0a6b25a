/* SPDX-License-Identifier: Apache-2.0 */
/* Packed runs are what an array of them would be, read in order or from anywhere. */
#include "image/runs.h"

#include "base/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)

enum { N = 5000 };

static struct page_run all[N];

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void make_runs(struct runs *r, uint32_t seed)
{
	static const uint32_t flags[] = {PE_PRESENT, PE_PARENT, PE_COW, PE_PRESENT | PE_LAZY};
	uint64_t page = next_random(&seed) % 2, off = 0;

	for (size_t i = 0; i < N; i++) {
		struct page_run *run = &all[i];

		if (next_random(&seed) % 2)
			page += UINT64_C(1) << next_random(&seed) % (i == N / 2 ? 34 : 12);
		*run = (struct page_run){
			.vaddr = page * PAGE,
			.npages = 1 + (next_random(&seed) >> next_random(&seed) % 32),
			.flags = flags[next_random(&seed) % 4],
			.off = off,
			.huge = next_random(&seed) % 2,
		};
		if (run->flags == PE_COW)
			run->owner = 1 + next_random(&seed) % (4u << 20);
		if (run->flags & PE_PRESENT)
			off += run->npages * PAGE;
		page += run->npages;
		runs_add(r, run);
	}
	runs_fit(r);
	assert_int_equal(r->n, N);
}

static void expect_run(const struct page_run *a, const struct page_run *b)
{
	assert_true(a->vaddr == b->vaddr && a->npages == b->npages && a->flags == b->flags);
	assert_true(a->off == b->off && a->owner == b->owner && a->huge == b->huge);
}

static void runs_come_back_in_order(void **state)
{
	for (uint32_t seed = 1; seed < 20; seed++) {
		struct runs r = {0};
		struct runs_cursor c = {0};

		make_runs(&r, seed);
		for (size_t i = 0; i < N; i++) {
			assert_true(runs_next(&r, &c));
			expect_run(&c.run, &all[i]);
		}
		assert_false(runs_next(&r, &c));
		assert_false(runs_next(&r, &c));
		runs_done(&r);
	}
}

/* In what the array says; NULL: behind all. */
static const struct page_run *find(uint64_t vaddr)
{
	size_t lo = 0, hi = N;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (all[mid].vaddr + all[mid].npages * PAGE <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < N ? &all[lo] : NULL;
}

static void expect_seek(const struct runs *r, struct runs_cursor *c, uint64_t vaddr)
{
	const struct page_run *want = find(vaddr);

	assert_int_equal(runs_seek(r, c, vaddr), want != NULL);
	if (want)
		expect_run(&c->run, want);
}

static void any_address_is_found(void **state)
{
	uint32_t seed = 3;
	struct runs r = {0};
	struct runs_cursor c = {0};

	make_runs(&r, 7);
	for (int i = 0; i < 20000; i++) {
		const struct page_run *run = &all[next_random(&seed) % N];

		expect_seek(&r, &c, run->vaddr);
		/* A little further, or before it, or just at its end. */
		expect_seek(&r, &c, run->vaddr + next_random(&seed) % (run->npages * PAGE));
		expect_seek(&r, &c, run->vaddr - (run->vaddr ? 1 : 0));
		expect_seek(&r, &c, run->vaddr + run->npages * PAGE);
	}
	expect_seek(&r, &c, 0);
	expect_seek(&r, &c, UINT64_MAX);
	expect_seek(&r, &c, all[0].vaddr);
	runs_done(&r);
}

static void no_runs_are_no_runs(void **state)
{
	struct runs r = {0};
	struct runs_cursor c = {0};

	runs_fit(&r);
	assert_false(runs_next(&r, &c));
	assert_false(runs_seek(&r, &c, 0));
	runs_done(&r);
}

/* What this is for. */
static void a_run_takes_few_bytes(void **state)
{
	struct runs r = {0};

	for (uint64_t i = 0; i < 100000; i++)
		runs_add(&r, &(struct page_run){.vaddr = (i * 10 + i % 2) * PAGE,
						.npages = 1 + i % 8,
						.flags = i % 2 ? PE_PRESENT : PE_PARENT});
	runs_fit(&r);
	assert_true(r.bytes.cap + r.marks.cap * sizeof(*r.marks.data) < 100000 * 4);
	runs_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_come_back_in_order),
		cmocka_unit_test(any_address_is_found),
		cmocka_unit_test(no_runs_are_no_runs),
		cmocka_unit_test(a_run_takes_few_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
