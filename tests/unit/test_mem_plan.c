/* SPDX-License-Identifier: Apache-2.0 */
/* What of an inherited address space stays: mem/plan.c, mem/siblings.c, mem/layout.c. */
#include "base/auto.h"
#include "mem/layout.h"
#include "mem/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define ANON  (VMA_AREA_REGULAR | VMA_ANON_PRIVATE)
#define FILEP (VMA_AREA_REGULAR | VMA_FILE_PRIVATE)
#define FILES (VMA_AREA_REGULAR | VMA_FILE_SHARED)

/* A task with a few mappings and pieces of pages; page N of the store is full of byte N. */
static uint8_t store[32][4096];

struct task {
	struct rmem m;
	struct page_map pages;
	struct page_piece pieces[8];
};

static void task_init(struct task *t)
{
	*t = (struct task){0};
	t->pages.pieces = t->pieces;
	t->m.pages = &t->pages;
	for (size_t i = 0; i < ARRAY_SIZE(store); i++)
		memset(store[i], (int)i, 4096);
}

static struct vma *add_vma(struct task *t, uint64_t page, uint64_t npages, uint32_t status)
{
	struct vma *v = vec_push(&t->m.vmas);

	*v = (struct vma){
		.start = page << 12,
		.end = (page + npages) << 12,
		.status = status,
		.prot = PROT_READ | PROT_WRITE,
		.flags = status & VMA_FILE_SHARED ? MAP_SHARED : MAP_PRIVATE,
	};
	t->m.nreal++;
	return v;
}

static void add_pages(struct task *t, uint64_t page, uint64_t npages, uint64_t stored)
{
	t->pieces[t->pages.n++] =
		(struct page_piece){.vaddr = page << 12, .npages = npages, .src = store[stored]};
}

static void task_done(struct task *t)
{
	vec_done(&t->m.vmas);
	vec_done(&t->m.held);
	vec_done(&t->m.over);
	if (t->m.plan)
		mem_plan_done(t->m.plan);
	free(t->m.plan);
}

static void test_empty_base(void **state)
{
	struct mem_plan p;
	struct task t;

	task_init(&t);
	add_vma(&t, 16, 4, ANON);
	add_vma(&t, 20, 4, FILEP);
	add_pages(&t, 18, 4, 0); /* over the border of the two */
	mem_plan_make(&p, &t.m, NULL);
	assert_int_equal(p.map.len, 2);
	assert_int_equal(p.keep.len, 0);
	assert_int_equal(p.fill.len, 2);
	assert_int_equal(p.fill.data[0].va, 18 << 12);
	assert_int_equal(p.fill.data[0].npages, 2);
	assert_true(p.fill.data[0].fresh);
	assert_int_equal(p.fill.data[1].va, 20 << 12);
	assert_ptr_equal(p.fill.data[1].src, store[2]);
	mem_plan_done(&p);
	task_done(&t);
}

static void test_identical(void **state)
{
	struct mem_plan p;
	struct task t;

	task_init(&t);
	add_vma(&t, 16, 4, ANON);
	add_vma(&t, 30, 2, FILES)->shmid = 3;
	add_pages(&t, 16, 3, 0);
	mem_plan_make(&p, &t.m, &t.m);
	assert_int_equal(p.keep.len, 2);
	assert_int_equal(p.map.len + p.unmap.len + p.drop.len + p.fill.len, 0);
	assert_int_equal(p.pages_compared, 3);
	assert_int_equal(p.pages_shared, 3);
	mem_plan_done(&p);
	task_done(&t);
}

static void test_differing_pages(void **state)
{
	struct mem_plan p;
	struct task t, base;

	task_init(&base);
	add_vma(&base, 16, 8, ANON);
	add_pages(&base, 16, 4, 0); /* 16..19 */
	task_init(&t);
	add_vma(&t, 16, 8, ANON);
	add_pages(&t, 17, 1, 1);  /* equal */
	add_pages(&t, 18, 1, 9);  /* differs */
	add_pages(&t, 21, 2, 10); /* the base has none; 16 and 19 are only the base's */
	mem_plan_make(&p, &t.m, &base.m);
	assert_int_equal(p.keep.len, 1);
	assert_int_equal(p.drop.len, 2);
	assert_int_equal(p.drop.data[0].start, 16 << 12);
	assert_int_equal(p.drop.data[0].end, 17 << 12);
	assert_int_equal(p.drop.data[1].start, 19 << 12);
	assert_int_equal(p.fill.len, 2);
	assert_int_equal(p.fill.data[0].va, 18 << 12);
	assert_false(p.fill.data[0].fresh);
	assert_ptr_equal(p.fill.data[0].src, store[9]);
	assert_int_equal(p.fill.data[1].va, 21 << 12);
	assert_true(p.fill.data[1].fresh);
	assert_int_equal(p.pages_compared, 2);
	assert_int_equal(p.pages_shared, 1);
	mem_plan_done(&p);
	task_done(&t);
	task_done(&base);
}

/* Many differing pages in a row are dropped, so that they can be filled like new ones. */
static void test_long_difference(void **state)
{
	struct mem_plan p;
	struct task t, base;

	task_init(&base);
	add_vma(&base, 16, 12, ANON);
	add_pages(&base, 16, 12, 0);
	task_init(&t);
	add_vma(&t, 16, 12, ANON);
	add_pages(&t, 16, 1, 0);
	add_pages(&t, 17, 10, 20);
	add_pages(&t, 27, 1, 11);
	mem_plan_make(&p, &t.m, &base.m);
	assert_int_equal(p.drop.len, 1);
	assert_int_equal(p.drop.data[0].start, 17 << 12);
	assert_int_equal(p.drop.data[0].end, 27 << 12);
	assert_int_equal(p.fill.len, 1);
	assert_int_equal(p.fill.data[0].npages, 10);
	assert_true(p.fill.data[0].fresh);
	assert_int_equal(p.pages_shared, 2);
	mem_plan_done(&p);
	task_done(&t);
	task_done(&base);
}

/* The heap of the child has grown since the fork, a region of the parent is gone. */
static void test_cut_and_grow(void **state)
{
	struct mem_plan p;
	struct task t, base;

	task_init(&base);
	add_vma(&base, 16, 4, ANON);
	add_vma(&base, 40, 8, ANON);
	add_vma(&base, 60, 2, ANON);
	add_pages(&base, 16, 2, 0);
	task_init(&t);
	add_vma(&t, 16, 8, ANON);
	add_vma(&t, 42, 4, ANON)->prot = PROT_READ;
	add_pages(&t, 16, 2, 0);
	add_pages(&t, 22, 1, 5);
	mem_plan_make(&p, &t.m, &base.m);
	assert_int_equal(p.keep.len, 2);
	assert_int_equal(p.keep.data[0].end, 20 << 12);
	assert_int_equal(p.keep.data[0].v->end, 24 << 12);
	assert_int_equal(p.keep.data[1].v->start, 42 << 12);
	assert_int_equal(p.map.len, 0);
	assert_int_equal(p.unmap.len, 3);
	assert_int_equal(p.unmap.data[0].start, 40 << 12);
	assert_int_equal(p.unmap.data[0].end, 42 << 12);
	assert_int_equal(p.unmap.data[1].start, 46 << 12);
	assert_int_equal(p.unmap.data[1].end, 48 << 12);
	assert_int_equal(p.unmap.data[2].start, 60 << 12);
	assert_int_equal(p.fill.len, 1);
	assert_int_equal(p.fill.data[0].va, 22 << 12);
	mem_plan_done(&p);
	task_done(&t);
	task_done(&base);
}

/*
 * A region was made in the child right below one that it got by fork, where the parent has one big
 * region: the inherited one has to stay.
 */
static void test_twins(void **state)
{
	struct mem_plan p;
	struct task t, base;

	task_init(&base);
	add_vma(&base, 16, 12, ANON);
	add_pages(&base, 16, 12, 0);
	task_init(&t);
	add_vma(&t, 18, 4, ANON);
	add_vma(&t, 22, 6, ANON);
	add_pages(&t, 18, 4, 20);
	add_pages(&t, 22, 6, 6);
	mem_plan_make(&p, &t.m, &base.m);
	assert_int_equal(p.keep.len, 1);
	assert_int_equal(p.keep.data[0].v->start, 22 << 12);
	assert_int_equal(p.map.len, 1);
	assert_int_equal(p.map.data[0].v->start, 18 << 12);
	assert_int_equal(p.unmap.len, 1);
	assert_int_equal(p.unmap.data[0].end, 22 << 12);
	assert_int_equal(p.pages_shared, 6);
	assert_int_equal(p.fill.len, 1);
	mem_plan_done(&p);
	task_done(&t);
	task_done(&base);
}

/*
 * The parent wrote to pages 17 and 19 after its forks, and freed 18; the children share the old
 * ones with each other. Page 20 is one child's own.
 */
static void test_siblings(void **state)
{
	struct task t[3];
	struct rmem *all[] = {&t[0].m, &t[1].m, &t[2].m};
	const int base[] = {-1, 0, 0};
	struct mem_plan p;

	for (size_t i = 0; i < 3; i++) {
		task_init(&t[i]);
		add_vma(&t[i], 16, 8, ANON);
		add_pages(&t[i], 16, 1, 1);
	}
	add_pages(&t[0], 17, 1, 10);
	add_pages(&t[0], 19, 2, 11);
	for (size_t i = 1; i < 3; i++) {
		add_pages(&t[i], 17, 3, 20);
		add_pages(&t[i], 20, 1, 24 + i);
	}
	rmem_share(all, base, 3);
	assert_int_equal(t[0].m.over.len, 1);
	assert_int_equal(t[0].m.over.data[0].va, 17 << 12);
	assert_int_equal(t[0].m.over.data[0].npages, 3);
	assert_ptr_equal(t[0].m.over.data[0].src, store[20]);
	/* First the parent has what the children share, and then its own. */
	assert_int_equal(t[0].m.plan->fill.len, 3);
	assert_int_equal(t[0].m.plan->fill.data[1].npages, 3);
	assert_ptr_equal(t[0].m.plan->fill.data[1].src, store[20]);
	for (size_t i = 1; i < 3; i++) {
		assert_ptr_equal(t[i].m.plan_base, &t[0].m);
		assert_int_equal(t[i].m.plan->fill.len, 1);
		assert_int_equal(t[i].m.plan->fill.data[0].va, 20 << 12);
		assert_int_equal(t[i].m.plan->pages_shared, 4);
	}
	mem_plan_own_pages(&p, &t[0].m);
	assert_int_equal(p.fill.len, 2);
	assert_ptr_equal(p.fill.data[0].src, store[10]);
	assert_ptr_equal(p.fill.data[1].src, store[11]);
	assert_int_equal(p.drop.len, 1);
	assert_int_equal(p.drop.data[0].start, 18 << 12);
	mem_plan_done(&p);
	for (size_t i = 0; i < 3; i++)
		task_done(&t[i]);
}

/*
 * Where images say which pages are one, equal bytes mean nothing: the children's copies of page 17
 * are equal, and each its own; those of 18 and 19 are one, whichever way the runs are cut.
 */
static void test_siblings_by_identity(void **state)
{
	struct task t[3];
	struct rmem *all[] = {&t[0].m, &t[1].m, &t[2].m};
	const int base[] = {-1, 0, 0};

	for (size_t i = 0; i < 3; i++) {
		task_init(&t[i]);
		t[i].m.knows_cow = true;
		add_vma(&t[i], 16, 8, ANON);
		add_pages(&t[i], 16, 1, 1);
	}
	for (size_t i = 20; i < 24; i++)
		memset(store[i], 7, 4096);
	add_pages(&t[0], 17, 4, 10);
	add_pages(&t[1], 17, 4, 20);
	add_pages(&t[2], 17, 1, 25);
	add_pages(&t[2], 18, 1, 21);
	add_pages(&t[2], 19, 1, 22);
	add_pages(&t[2], 20, 1, 13);
	memcpy(store[25], store[20], 4096);
	rmem_share(all, base, 3);
	assert_int_equal(t[0].m.over.len, 1);
	assert_int_equal(t[0].m.over.data[0].va, 18 << 12);
	assert_int_equal(t[0].m.over.data[0].npages, 2);
	assert_ptr_equal(t[0].m.over.data[0].src, store[21]);
	assert_int_equal(t[1].m.plan->pages_shared, 3); /* 16, 18, 19 */
	assert_int_equal(t[2].m.plan->pages_shared, 4); /* and 20 of the parent */
	assert_int_equal(t[2].m.plan->pages_compared, 5);
	assert_int_equal(t[2].m.plan->fill.len, 1);
	for (size_t i = 0; i < 3; i++)
		task_done(&t[i]);
}

/*
 * Page 17 is still one in the first task and in its great-grandchild; those between have written
 * to it. They hold it for their children, with and without knowledge of what is one.
 */
static void test_generations(void **state)
{
	for (int knows = 0; knows < 2; knows++) {
		struct task t[4];
		struct rmem *all[] = {&t[0].m, &t[1].m, &t[2].m, &t[3].m};
		const int base[] = {-1, 0, 1, 2};

		for (size_t i = 0; i < 4; i++) {
			task_init(&t[i]);
			t[i].m.knows_cow = knows;
			add_vma(&t[i], 16, 8, ANON);
			add_pages(&t[i], 17, 1, i == 0 || i == 3 ? 10 : 20 + i);
			add_pages(&t[i], 18, 1, 24 + i); /* everyone's own */
		}
		rmem_share(all, base, 4);
		assert_int_equal(t[0].m.over.len, 0);
		for (size_t i = 1; i < 3; i++) {
			assert_int_equal(t[i].m.over.len, 1);
			assert_int_equal(t[i].m.over.data[0].va, 17 << 12);
			assert_ptr_equal(t[i].m.over.data[0].src, store[10]);
		}
		for (size_t i = 1; i < 4; i++) {
			assert_int_equal(t[i].m.plan->fill.len, 1);
			assert_int_equal(t[i].m.plan->fill.data[0].va, 18 << 12);
		}
		for (size_t i = 0; i < 4; i++)
			task_done(&t[i]);
	}
}

/*
 * The parent has unmapped pages 20 to 27, in the middle of what was one mapping, and 40 to 43,
 * which two of its children share; one of 60 to 63 is each child's own.
 */
static void test_lent(void **state)
{
	for (int knows = 0; knows < 2; knows++) {
		struct task t[3];
		struct rmem *all[] = {&t[0].m, &t[1].m, &t[2].m};
		const int base[] = {-1, 0, 0};
		struct mem_plan p;

		for (size_t i = 0; i < 3; i++) {
			task_init(&t[i]);
			t[i].m.knows_cow = knows;
			add_vma(&t[i], 16, i ? 16 : 4, ANON);
			if (!i)
				add_vma(&t[i], 28, 4, ANON);
			else
				add_vma(&t[i], 40, 4, ANON)->prot = PROT_READ;
			if (i)
				add_vma(&t[i], 60, 4, ANON);
			add_pages(&t[i], 16, 1, 0);
			if (i)
				add_pages(&t[i], 22, 3, 5);
			add_pages(&t[i], 29, 1, 1);
			if (i) {
				add_pages(&t[i], 40, 2, 10);
				add_pages(&t[i], 61, 1, 20 + i);
			}
		}
		rmem_share(all, base, 3);
		assert_int_equal(t[0].m.nreal, 2);
		assert_int_equal(t[0].m.held.len, 2);
		assert_int_equal(t[0].m.held.data[0].start, 16 << 12);
		assert_int_equal(t[0].m.held.data[0].end, 32 << 12);
		assert_int_equal(t[0].m.held.data[1].start, 40 << 12);
		assert_int_equal(t[0].m.over.len, 2);
		assert_int_equal(t[0].m.plan->map.len, 2);
		for (size_t i = 1; i < 3; i++) {
			assert_int_equal(t[i].m.plan->keep.len, 2);
			assert_int_equal(t[i].m.plan->map.len, 1);
			assert_int_equal(t[i].m.plan->pages_shared, 7);
			assert_int_equal(t[i].m.plan->fill.len, 1);
		}
		mem_plan_own_pages(&p, &t[0].m);
		assert_int_equal(p.fill.len + p.drop.len, 0);
		assert_int_equal(p.unmap.len, 2);
		assert_int_equal(p.unmap.data[0].start, 20 << 12);
		assert_int_equal(p.unmap.data[0].end, 28 << 12);
		assert_int_equal(p.unmap.data[1].start, 40 << 12);
		assert_int_equal(p.unmap.data[1].end, 44 << 12);
		mem_plan_done(&p);
		for (size_t i = 0; i < 3; i++)
			task_done(&t[i]);
	}
}

/* One child that still has the parent's page would lose what two others gain. */
static void test_siblings_not_worth_it(void **state)
{
	struct task t[4];
	struct rmem *all[] = {&t[0].m, &t[1].m, &t[2].m, &t[3].m};
	const int base[] = {-1, 0, 0, 0};

	for (size_t i = 0; i < 4; i++) {
		task_init(&t[i]);
		add_vma(&t[i], 16, 8, ANON);
		add_pages(&t[i], 17, 1, i == 0 || i == 3 ? 10 : 20);
	}
	rmem_share(all, base, 4);
	assert_int_equal(t[0].m.over.len, 0);
	assert_int_equal(t[3].m.plan->pages_shared, 1);
	for (size_t i = 0; i < 4; i++)
		task_done(&t[i]);
}

static void test_other_backing(void **state)
{
	struct mem_plan p;
	struct task t, base;

	task_init(&base);
	add_vma(&base, 16, 4, FILEP)->shmid = 1;
	add_vma(&base, 20, 4, FILEP)->shmid = 1;
	add_vma(&base, 30, 4, ANON);
	task_init(&t);
	add_vma(&t, 16, 4, FILEP)->shmid = 2;
	*add_vma(&t, 20, 4, FILEP) = (struct vma){.start = 20 << 12,
						  .end = 24 << 12,
						  .status = FILEP,
						  .shmid = 1,
						  .pgoff = 4096,
						  .flags = MAP_PRIVATE};
	add_vma(&t, 29, 5, ANON); /* begins in front: not a continuation */
	mem_plan_make(&p, &t.m, &base.m);
	assert_int_equal(p.keep.len, 0);
	assert_int_equal(p.map.len, 3);
	assert_int_equal(p.unmap.len, 3);
	mem_plan_done(&p);
	task_done(&t);
	task_done(&base);
}

static void test_hole(void **state)
{
	vma_vec a = {0}, b = {0};
	const vma_vec *lists[] = {&a, &b};
	uint64_t at;

	*vec_push(&a) = (struct vma){.start = 0x400000, .end = 0x500000};
	*vec_push(&a) = (struct vma){.start = 0x7ff000000000, .end = 0x7ffffffff000};
	*vec_push(&b) = (struct vma){.start = 0x200000000000, .end = 0x200000001000};
	at = layout_widest_hole(lists, 2, 0x80000);
	assert_int_equal(at & 0xfff, 0);
	/* Far from everything, stacks above all. */
	assert_true(at > 0x200000001000 + (UINT64_C(1) << 40));
	assert_true(at + 0x80000 < 0x7ff000000000 - (UINT64_C(1) << 40));
	assert_int_equal(layout_widest_hole(lists, 2, UINT64_C(0x600000000000)), 0);
	assert_true(layout_widest_hole(NULL, 0, 4096) != 0);
	vec_done(&a);
	vec_done(&b);
}

static void test_find(void **state)
{
	vma_vec a = {0};

	*vec_push(&a) = (struct vma){.start = 0x1000, .end = 0x3000};
	*vec_push(&a) = (struct vma){.start = 0x5000, .end = 0x6000};
	assert_ptr_equal(layout_find(&a, 2, 0x0), &a.data[0]);
	assert_ptr_equal(layout_find(&a, 2, 0x2fff), &a.data[0]);
	assert_ptr_equal(layout_find(&a, 2, 0x3000), &a.data[1]);
	assert_null(layout_find(&a, 2, 0x6000));
	assert_null(layout_find(&a, 0, 0x1000));
	vec_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_base),
		cmocka_unit_test(test_identical),
		cmocka_unit_test(test_differing_pages),
		cmocka_unit_test(test_long_difference),
		cmocka_unit_test(test_cut_and_grow),
		cmocka_unit_test(test_other_backing),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_siblings),
		cmocka_unit_test(test_siblings_by_identity),
		cmocka_unit_test(test_lent),
		cmocka_unit_test(test_siblings_not_worth_it),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
