/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages tasks share: mem/cow.c, on made-up pagemap entries and on children of the test. */
#include "base/auto.h"
#include "image/pages.h"
#include "kernel/uapi/mman.h"
#include "kernel/uapi/pagemap.h"
#include "mem/cow.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE  4096u
#define BASE  0x10000000u
#define AT(n) (BASE + (uint64_t)(n)*PAGE)

/* ----------------------------------------------------------------- window */

static void expect(const cow_run_vec *v, size_t i, size_t page, uint32_t npages, uint32_t owner)
{
	assert_true(i < v->len);
	assert_int_equal(v->data[i].start, AT(page));
	assert_int_equal(v->data[i].npages, npages);
	assert_int_equal(v->data[i].owner, owner);
}

static void test_window(void **state)
{
	const uint64_t in = PM_PRESENT, own = PM_PRESENT | PM_MMAP_EXCLUSIVE, out = PM_SWAP;
	/* Page:                   0       1       2        3        4         5 */
	const uint64_t zero[] = {in | 7, in | 8, own | 9, out | 64, in | 11, in | 12};
	/* Siblings of each other in page 4; page 5 left to the first one alone; 2: frame reused? */
	const uint64_t one[] = {in | 7, in | 8, in | 9, out | 64, in | 20, own | 21};
	const uint64_t two[] = {in | 7, own | 30, in | 9, out | 96, in | 20, in | 12};
	cow_run_vec runs[3] = {0};
	struct cow_window *w = cow_window_new();

	for (int again = 0; again < 2; again++) {
		cow_window_begin(w, BASE);
		cow_window_add(w, 0, BASE, zero, 6, &runs[0]);
		cow_window_add(w, 1, BASE, one, 6, &runs[1]);
		cow_window_add(w, 2, BASE, two, 2, &runs[2]);
		cow_window_add(w, 2, AT(2), two + 2, 4, &runs[2]);
		assert_int_equal(runs[0].len, 0);
		assert_int_equal(runs[1].len, 2);
		expect(&runs[1], 0, 0, 2, 0);
		expect(&runs[1], 1, 3, 1, 0);
		assert_int_equal(runs[2].len, 4);
		expect(&runs[2], 0, 0, 1, 0);
		expect(&runs[2], 1, 2, 1, 1); /* the first one's is its own: never an owner */
		expect(&runs[2], 2, 4, 1, 1); /* the parent rewrote it: the first sibling has it */
		expect(&runs[2], 3, 5, 1, 0);
		for (int i = 0; i < 3; i++)
			vec_done(&runs[i]);
	}
	cow_window_free(w);
}

/* Not data, files, guards, hidden frames, entries that only look like swap. */
static void test_unsharable(void **state)
{
	const uint64_t entries[] = {
		0,
		PM_PRESENT | PM_FILE | 5,
		PM_SWAP | PM_GUARD_REGION | 64,
		PM_PRESENT,
		PM_SWAP | 31,
		PM_SWAP | PM_FILE | 64,
	};
	cow_run_vec runs = {0};
	struct cow_window *w = cow_window_new();

	cow_window_begin(w, BASE);
	for (uint32_t task = 0; task < 3; task++)
		cow_window_add(w, task, BASE, entries, ARRAY_SIZE(entries), &runs);
	assert_int_equal(runs.len, 0);
	cow_window_free(w);
}

/* The same frame elsewhere (moved by mremap) isn't shared; owners at the window's ends. */
static void test_places(void **state)
{
	uint64_t entry = PM_PRESENT | 77;
	cow_run_vec runs = {0};
	struct cow_window *w = cow_window_new();

	cow_window_begin(w, BASE);
	cow_window_add(w, 0, AT(3), &entry, 1, &runs);
	cow_window_add(w, 1, AT(4), &entry, 1, &runs);
	assert_int_equal(runs.len, 0);
	cow_window_add(w, 0, AT(COW_WINDOW - 1), &entry, 1, &runs);
	cow_window_add(w, 1, AT(COW_WINDOW - 1), &entry, 1, &runs);
	assert_int_equal(runs.len, 1);
	expect(&runs, 0, COW_WINDOW - 1, 1, 0);
	vec_done(&runs);
	cow_window_free(w);
}

/* More different pages than there is room for: what is found is right, nothing breaks. */
static void test_full_window(void **state)
{
	auto_free uint64_t *entries = xcalloc(COW_WINDOW, sizeof(*entries));
	cow_run_vec runs = {0};
	struct cow_window *w = cow_window_new();

	cow_window_begin(w, BASE);
	for (uint32_t task = 0; task < 300; task++) {
		for (size_t i = 0; i < COW_WINDOW; i++)
			entries[i] = PM_PRESENT | (task / 2 * COW_WINDOW + i + 1);
		cow_window_add(w, task, BASE, entries, COW_WINDOW, &runs);
	}
	assert_true(runs.len >= 4);
	vec_foreach (r, &runs) {
		assert_int_equal(r->owner % 2, 0);
		assert_int_equal(r->npages, COW_WINDOW);
	}
	vec_done(&runs);
	cow_window_free(w);
}

/* ----------------------------------------------------------------- source */

struct list_source {
	struct page_source base;
	const struct mem_run *runs;
	size_t n, next;
};

static int list_next(struct page_source *base, struct mem_run *ret, struct err *err)
{
	struct list_source *s = container_of(base, struct list_source, base);

	if (s->next == s->n)
		return 0;
	*ret = s->runs[s->next++];
	return 1;
}

static void list_free(struct page_source *base)
{
}

static void test_source(void **state)
{
	const struct mem_run in[] = {
		{.start = AT(0), .npages = 512, .flags = PE_PRESENT, .huge = false},
		{.start = AT(1024), .npages = 1024, .flags = PE_PRESENT, .huge = true},
		{.start = AT(4096), .npages = 2, .flags = PE_PARENT},
	};
	struct cow_run shared[] = {{AT(10), 5, 0},
				   {AT(15), 5, 2},
				   {AT(600), 500, 1},
				   {AT(4096), 2, 1},
				   {AT(5000), 1, 1}};
	const cow_run_vec runs = {.data = shared, .len = ARRAY_SIZE(shared)};
	const uint32_t vpids[] = {100, 200, 300};
	const struct {
		size_t page, npages;
		uint32_t flags, owner;
		bool huge;
	} want[] = {
		{0, 10, PE_PRESENT, 0, false},	{10, 5, PE_COW, 100, false},
		{15, 5, PE_COW, 300, false},	{20, 492, PE_PRESENT, 0, false},
		{1024, 76, PE_COW, 200, false}, {1100, 948, PE_PRESENT, 0, false},
		{4096, 2, PE_COW, 200, false},
	};
	struct list_source from = {
		.base = {.next = list_next, .free = list_free}, .runs = in, .n = ARRAY_SIZE(in)};
	struct page_source *s =
		cow_source_new(&from.base, &runs, &(struct cow_peers){.vpids = vpids});
	struct err err = ERR_INIT;
	struct mem_run run;

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(s->next(s, &run, &err), 1);
		assert_int_equal(run.start, AT(want[i].page));
		assert_int_equal(run.npages, want[i].npages);
		assert_int_equal(run.flags, want[i].flags);
		assert_int_equal(run.owner, want[i].owner);
		assert_int_equal(run.huge, want[i].huge);
	}
	assert_int_equal(s->next(s, &run, &err), 0);
	s->free(s);
}

/* --------------------------------------------------------------- for real */

#define NPAGES 3000u

struct family {
	pid_t pid;
	struct target parent, child;
	struct vma vma;
	volatile uint8_t *p;
};

/* A child with every 100th page its own, and the parent with every 70th. */
static void family_begin(struct family *f, int advice)
{
	int ready[2];
	char byte, path[32];

	f->p = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	assert_true(f->p != MAP_FAILED);
	(void)madvise((void *)f->p, NPAGES * PAGE, MADV_NOHUGEPAGE);
	f->vma = (struct vma){.start = (uintptr_t)f->p,
			      .end = (uintptr_t)f->p + NPAGES * PAGE,
			      .prot = PROT_READ | PROT_WRITE,
			      .flags = MAP_PRIVATE | MAP_ANONYMOUS,
			      .status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE,
			      .madv = advice ? UINT64_C(1) << advice : 0};
	for (size_t i = 0; i < NPAGES; i++)
		f->p[i * PAGE] = 1;
	assert_int_equal(pipe(ready), 0);
	f->pid = fork();
	if (f->pid == 0) {
		for (size_t i = 0; i < NPAGES; i += 100)
			f->p[i * PAGE] = 2;
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	for (size_t i = 0; i < NPAGES; i += 70)
		f->p[i * PAGE] = 3;
	f->parent = (struct target){.proc = open("/proc/self", O_PATH | O_CLOEXEC)};
	snprintf(path, sizeof(path), "/proc/%d", (int)f->pid);
	f->child = (struct target){.proc = open(path, O_PATH | O_CLOEXEC)};
}

static void family_end(struct family *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	close(f->parent.proc);
	close(f->child.proc);
	munmap((void *)f->p, NPAGES * PAGE);
}

static bool frames_hidden(const struct family *f)
{
	int fd = openat(f->parent.proc, "pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	assert_int_equal(pread(fd, &entry, 8, (off_t)(f->vma.start / PAGE * 8)), 8);
	close(fd);
	return !(entry & PM_PFRAME_MASK);
}

static void check_shared(const struct family *f, const cow_run_vec *runs)
{
	uint8_t seen[NPAGES] = {0};

	vec_foreach (r, runs) {
		assert_int_equal(r->owner, 0);
		for (size_t i = 0; i < r->npages; i++)
			seen[(r->start - f->vma.start) / PAGE + i] = 1;
	}
	for (size_t i = 0; i < NPAGES; i++)
		assert_int_equal(seen[i], i % 100 != 0 && i % 70 != 0);
}

static void test_family(void **state)
{
	struct family f;
	struct cow_map *m;

	family_begin(&f, 0);
	const struct cow_task tasks[] = {{&f.parent, &f.vma, 1}, {&f.child, &f.vma, 1}};

	m = cow_find(tasks, 2);
	if (frames_hidden(&f)) {
		assert_null(m);
		family_end(&f);
		skip();
	}
	assert_non_null(m);
	assert_int_equal(cow_map_runs(m, 0)->len, 0);
	check_shared(&f, cow_map_runs(m, 1));
	cow_map_free(m);
	assert_null(cow_find(tasks, 1));
	family_end(&f);
}

static void test_mergeable(void **state)
{
	struct family f;

	family_begin(&f, MADV_MERGEABLE);
	const struct cow_task tasks[] = {{&f.parent, &f.vma, 1}, {&f.child, &f.vma, 1}};

	assert_null(cow_find(tasks, 2));
	family_end(&f);
}

static void test_still_shared(void **state)
{
	struct family f;
	cow_run_vec runs = {0};
	struct cow_run all;

	family_begin(&f, 0);
	all = (struct cow_run){f.vma.start, NPAGES, 0};
	if (!frames_hidden(&f)) {
		cow_still_shared(&f.parent, &f.child, &all, &runs);
		check_shared(&f, &runs);
		vec_done(&runs);
	}
	kill(f.pid, SIGKILL);
	waitpid(f.pid, NULL, 0);
	cow_still_shared(&f.parent, &f.child, &all, &runs);
	assert_int_equal(runs.len, 0);
	family_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),	  cmocka_unit_test(test_unsharable),
		cmocka_unit_test(test_places),	  cmocka_unit_test(test_full_window),
		cmocka_unit_test(test_source),	  cmocka_unit_test(test_family),
		cmocka_unit_test(test_mergeable), cmocka_unit_test(test_still_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
