/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages are written and which are left to a parent (mem/source.c), and copying them from a
 * process that runs (mem/running.c); here it is the test itself.
 */
#include "base/auto.h"
#include "image/inventory.h"
#include "image/pages.h"
#include "mem/running.h"
#include "mem/source.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE   4096u
#define NPAGES 300u /* more than the buffer has room for */

static struct img_dir dir;
static struct target self;
static uint8_t *mem;
static struct vma vma;

static int setup(void **state)
{
	static char path[] = "/tmp/test_running.XXXXXX";

	if (!mkdtemp(path))
		return -1;
	dir = (struct img_dir){.path = path};
	dir.fd = dir.work_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	self = (struct target){.pid = getpid(), .vpid = 5, .comm = "test", .pidfd = -EBADF};
	self.proc = open("/proc/self", O_PATH | O_CLOEXEC);
	mem = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || madvise(mem, NPAGES * PAGE, MADV_NOHUGEPAGE) < 0)
		return -1;
	for (size_t i = 0; i < NPAGES; i++)
		memset(mem + i * PAGE, (int)(i % 255 + 1), PAGE);
	vma = (struct vma){
		.start = (uintptr_t)mem,
		.end = (uintptr_t)mem + NPAGES * PAGE,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS,
		.status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE,
	};
	return dir.fd < 0 || self.proc < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"pagemap-5.img", "pages-1.img", "sums-1.img"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(dir.fd, names[i], 0);
	close(self.proc);
	close(dir.fd);
	return rmdir(dir.path);
}

/* ----------------------------------------------------------------- source */

static const uint8_t bytes[4 * PAGE];

/* What comes out: one letter for each page, P(resent), p(arent), for the first n pages. */
static void runs_of(const struct source_opts *o, char *text, size_t n)
{
	struct page_source *s;
	struct mem_run run;
	struct err err = ERR_INIT;

	memset(text, '-', n);
	text[n] = '\0';
	assert_int_equal(space_source_new(&self, &vma, 1, o, &s, &err), 0);
	while (s->next(s, &run, &err) > 0)
		for (uint64_t i = 0; i < run.npages; i++) {
			uint64_t at = (run.start - vma.start) / PAGE + i;

			if (at < n)
				text[at] = run.flags & PE_PARENT ? 'p' : 'P';
		}
	assert_int_equal(err.code, 0);
	s->free(s);
}

static void test_parent(void **state)
{
	struct page_piece pieces[] = {
		{.vaddr = (uintptr_t)mem + 1 * PAGE, .npages = 2, .src = bytes},
		{.vaddr = (uintptr_t)mem + 3 * PAGE, .npages = 1, .src = bytes},
		{.vaddr = (uintptr_t)mem + 5 * PAGE, .npages = 4, .src = bytes},
	};
	struct page_map parent = {.pieces = pieces, .n = ARRAY_SIZE(pieces), .npages = 7};
	uint8_t states[1] = {TRACK_ON};
	struct source_opts o = {.parent = &parent, .states = states};
	char text[16];

	/* Without a tracker everything counts as written. */
	runs_of(&o, text, 10);
	assert_string_equal(text, "PPPPPPPPPP");
	/* This kernel may lack soft-dirty bits: then no page ever has one, and all are clean. */
	if (tracker_works(TRACKER_SOFT_DIRTY))
		return;
	o.tracker = TRACKER_SOFT_DIRTY;
	runs_of(&o, text, 10);
	assert_string_equal(text, "PpppPppppP");
	states[0] = TRACK_NEW;
	runs_of(&o, text, 10);
	assert_string_equal(text, "PPPPPPPPPP");
	states[0] = TRACK_OFF;
	runs_of(&o, text, 10);
	assert_string_equal(text, "PPPPPPPPPP");
	states[0] = TRACK_ON;
	o.parent = NULL;
	runs_of(&o, text, 10);
	assert_string_equal(text, "PPPPPPPPPP");
}

/* ---------------------------------------------------------------- copying */

static uint8_t at(const struct pagemap *p, size_t page)
{
	uint64_t va = vma.start + page * PAGE;
	size_t i = pagemap_find(p, va);

	if (i == p->nruns || p->runs[i].vaddr > va)
		return 0;
	assert_true(p->runs[i].flags & PE_PRESENT);
	return p->pages[p->runs[i].off + (va - p->runs[i].vaddr)];
}

static struct pagemap *copy(uint64_t expect_pages)
{
	struct target *tasks[] = {&self};
	struct running_opts o = {.dir = &dir, .tasks = tasks};
	struct mem_stats stats = {.next_pages_id = 1};
	struct pagemap *p;
	struct err err = ERR_INIT;
	uint64_t us = 0;
	vma_vec vmas = {0};

	*vec_push(&vmas) = vma;
	assert_int_equal(running_write(&o, 0, NULL, &vmas, &stats, &us, &err), 0);
	vec_done(&vmas);
	assert_int_equal(stats.pages_written, expect_pages);
	assert_int_equal(us, 0);
	assert_int_equal(pagemap_load(&dir, IMG_PAGEMAP, 5, false, &p, &err), 0);
	return p;
}

static void test_copy(void **state)
{
	struct pagemap *p = copy(NPAGES);

	assert_int_equal(p->nruns, 1);
	for (size_t i = 0; i < NPAGES; i++)
		assert_int_equal(at(p, i), i % 255 + 1);
	pagemap_free(p);
}

/* The program forbade itself to read some pages since its mappings were looked at. */
static void test_unreadable(void **state)
{
	struct pagemap *p;

	assert_int_equal(mprotect(mem + 10 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(mprotect(mem + 64 * PAGE, 2 * PAGE, PROT_NONE), 0);
	assert_int_equal(madvise(mem + 100 * PAGE, PAGE, MADV_DONTNEED), 0);
	p = copy(NPAGES - 1);
	for (size_t i = 0; i < NPAGES; i++)
		assert_int_equal(at(p, i), i == 100 ? 0 : i % 255 + 1);
	pagemap_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parent),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
