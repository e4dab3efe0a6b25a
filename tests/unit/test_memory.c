/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of checkpoints: what is read and found in made-up address spaces, and that images which
 * are broken in any way are refused, or read, without harm.
 */
#include "../lib/samples.h"
#include "base/auto.h"
#include "image/inventory.h"
#include "image/pages.h"
#include "image/vma_status.h"
#include "inspect/checkpoint.h"
#include "inspect/space.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define PID  7
#define ANON (VMA_AREA_REGULAR | VMA_ANON_PRIVATE)

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

/* ---------------------------------------------------------------- made up */

struct fake {
	struct img_dir dir;
	struct torpor_image *ti;
	struct torpor_checkpoint *cp;
};

static void put_one(const struct fake *f, enum img_kind kind, uint64_t id, const void *msg)
{
	struct err err = ERR_INIT;

	assert_ok(img_write_one(&f->dir, kind, id, msg, &err));
}

static void put_core(const struct fake *f)
{
	UserX86RegsEntry regs = USER_X86_REGS_ENTRY__INIT;
	UserX86FpregsEntry fp = USER_X86_FPREGS_ENTRY__INIT;
	ThreadInfoX86 ti = THREAD_INFO_X86__INIT;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;
	CoreEntry core = CORE_ENTRY__INIT;
	uint32_t st[32] = {0}, xmm[64] = {0};

	fp.n_st_space = ARRAY_SIZE(st);
	fp.st_space = st;
	fp.n_xmm_space = ARRAY_SIZE(xmm);
	fp.xmm_space = xmm;
	ti.gpregs = &regs;
	ti.fpregs = &fp;
	tc.task_state = 1;
	tc.comm = (char *)"fake";
	core.mtype = CORE_ENTRY__MARCH__X86_64;
	core.thread_info = &ti;
	core.tc = &tc;
	put_one(f, IMG_CORE, PID, &core);
}

struct fake_vma {
	uint64_t page, npages; /* numbers of pages */
	uint32_t status;
};

/* `vmas` end with one of no pages. */
static void put_mm(const struct fake *f, const struct fake_vma *vmas)
{
	MmEntry mm = MM_ENTRY__INIT;
	VEC(VmaEntry) list = {0};
	VEC(VmaEntry *) ptrs = {0};

	for (const struct fake_vma *v = vmas; v->npages; v++) {
		VmaEntry *e = vec_push(&list);

		vma_entry__init(e);
		e->start = v->page * PAGE;
		e->end = e->start + v->npages * PAGE;
		e->prot = PROT_READ | PROT_WRITE;
		e->flags = MAP_PRIVATE | MAP_ANONYMOUS;
		e->status = v->status;
		e->fd = -1;
	}
	vec_foreach (e, &list)
		*vec_push(&ptrs) = e;
	mm.n_vmas = ptrs.len;
	mm.vmas = ptrs.data;
	put_one(f, IMG_MM, PID, &mm);
	vec_done(&ptrs);
	vec_done(&list);
}

/* Pages of these numbers, each with its number in each word; ends with 0. */
static void put_pages(const struct fake *f, const uint64_t *pages)
{
	struct pagemap_writer *w;
	struct err err = ERR_INIT;
	uint64_t data[PAGE / 8];

	assert_ok(pagemap_create(&f->dir, IMG_PAGEMAP, PID, 1, &w, &err));
	for (; *pages; pages++) {
		struct page_run run = {.vaddr = *pages * PAGE, .npages = 1, .flags = PE_PRESENT};
		uint64_t off;

		for (size_t i = 0; i < ARRAY_SIZE(data); i++)
			data[i] = *pages;
		assert_ok(pagemap_add(w, &run, &off, &err));
		assert_int_equal(pwrite(pagemap_pages_fd(w, &err), data, PAGE, (off_t)off), PAGE);
	}
	assert_ok(pagemap_close(w, &err));
}

static void fake_new(struct fake *f, const struct fake_vma *vmas, const uint64_t *pages)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct inventory_chain chain = {.cow = true};
	PstreeEntry tree = PSTREE_ENTRY__INIT;
	struct err err = ERR_INIT;
	uint32_t threads[] = {PID};

	sample_empty_dir(&f->dir);
	tree.pid = tree.pgid = tree.sid = PID;
	tree.n_threads = 1;
	tree.threads = threads;
	snprintf(chain.run_id, sizeof(chain.run_id), "00000000-0000-4000-8000-000000000001");
	assert_ok(inventory_write(&f->dir, &ids, &chain, &err));
	put_one(f, IMG_PSTREE, 0, &tree);
	put_core(f);
	put_mm(f, vmas);
	put_pages(f, pages);
	f->ti = torpor_image_new();
	if (torpor_checkpoint_open(f->ti, f->dir.path, &f->cp) < 0)
		fail_msg("%s", torpor_image_error(f->ti));
}

static void fake_done(struct fake *f)
{
	torpor_checkpoint_close(f->cp);
	torpor_image_free(f->ti);
	sample_remove(&f->dir);
}

#define VMAS(...)  ((const struct fake_vma[]){__VA_ARGS__, {0}})
#define PAGES(...) ((const uint64_t[]){__VA_ARGS__, 0})

/* ------------------------------------------------------------------- reads */

static void test_read(void **state)
{
	uint64_t words[PAGE / 8 * 4];
	struct fake f;

	fake_new(&f, VMAS({16, 4, ANON}, {20, 2, ANON}, {30, 1, ANON}), PAGES(17, 20, 30));
	/* Over the border of mappings, through memory that was never written to, up to the end. */
	assert_int_equal(torpor_checkpoint_read_memory(f.cp, PID, 18 * PAGE, words, 4 * PAGE, 0),
			 4 * PAGE);
	assert_int_equal(words[0], 0);
	assert_int_equal(words[2 * PAGE / 8 - 1], 0);
	assert_int_equal(words[2 * PAGE / 8], 20);
	assert_int_equal(words[3 * PAGE / 8], 0);
	assert_int_equal(torpor_checkpoint_read_memory(f.cp, PID, 21 * PAGE, words, 4 * PAGE, 0),
			 PAGE);
	assert_int_equal(torpor_checkpoint_read_memory(f.cp, PID, 17 * PAGE + 4, words, 8, 0), 8);
	assert_int_equal(words[0], UINT64_C(17) << 32);
	assert_int_equal(torpor_checkpoint_read_memory(f.cp, PID, 23 * PAGE, words, 8, 0), -EINVAL);
	assert_non_null(strstr(torpor_image_error(f.ti), "nearest mapping is 0x14000-0x16000"));
	assert_int_equal(torpor_checkpoint_read_memory(f.cp, PID, UINT64_MAX, words, 8, 0),
			 -EINVAL);
	assert_int_equal(torpor_checkpoint_read_memory(f.cp, PID + 1, PAGE, words, 8, 0), -EINVAL);
	fake_done(&f);
}

struct finds {
	uint64_t addr[64];
	size_t n, stop;
};

static int note_find(void *arg, uint32_t pid, uint64_t addr, const void *bytes, size_t len)
{
	struct finds *f = arg;

	assert_int_equal(pid, PID);
	assert_true(f->n < ARRAY_SIZE(f->addr));
	f->addr[f->n++] = addr;
	return f->n == f->stop;
}

static size_t search(const struct fake *f, const void *pattern, size_t len, struct finds *ret)
{
	struct torpor_memory_range all = {0};

	*ret = (struct finds){.n = 0};
	assert_int_equal(torpor_checkpoint_search_memory(f->cp, &all, pattern, len, note_find, ret),
			 0);
	return ret->n;
}

static void test_search(void **state)
{
	const uint64_t border[2] = {18, 19}, before[2] = {0, 17}, behind[2] = {19, 0};
	const uint64_t torn[2] = {19, 40}, all_zero[2] = {0, 0};
	struct torpor_memory_range range = {.pid = PID};
	struct finds found;
	struct fake f;

	/* A whole GiB of nothing in front. */
	fake_new(&f, VMAS({1, 20, ANON}, {21, 1 << 18, ANON}, {1 << 20, 1, ANON}),
		 PAGES(17, 18, 19, 1 << 20));
	assert_int_equal(search(&f, border, sizeof(border), &found), 1);
	assert_int_equal(found.addr[0], 19 * PAGE - 8);
	assert_int_equal(search(&f, before, sizeof(before), &found), 1);
	assert_int_equal(found.addr[0], 17 * PAGE - 8);
	assert_int_equal(search(&f, behind, sizeof(behind), &found), 1);
	assert_int_equal(found.addr[0], 20 * PAGE - 8);
	assert_int_equal(search(&f, torn, sizeof(torn), &found), 0);
	found = (struct finds){.stop = 3};
	assert_int_equal(
		torpor_checkpoint_search_memory(f.cp, &range, border, 1, note_find, &found), 0);
	assert_int_equal(found.n, 3);
	assert_int_equal(found.addr[0], 18 * PAGE);
	assert_int_equal(
		torpor_checkpoint_search_memory(f.cp, &range, all_zero, 16, note_find, &found),
		-EINVAL);
	fake_done(&f);
}

/* --------------------------------------------------------------- hostile */

static void expect_refused(const struct fake_vma *vmas, const char *text)
{
	char *json = NULL;
	struct fake f;

	fake_new(&f, vmas, PAGES(17));
	assert_int_equal(torpor_checkpoint_mappings(f.cp, PID, &json), -EINVAL);
	if (!strstr(torpor_image_error(f.ti), text))
		fail_msg("'%s' isn't in: %s", text, torpor_image_error(f.ti));
	assert_int_equal(torpor_checkpoint_core(f.cp, PID, -1, 0), -EINVAL);
	fake_done(&f);
}

static void test_absurd_mappings(void **state)
{
	expect_refused(VMAS({16, 4, ANON}, {19, 4, ANON}), "not behind the mapping before");
	expect_refused(VMAS({16, 4, ANON}, {2, 4, ANON}), "not behind the mapping before");
	expect_refused(VMAS({16, UINT64_MAX / PAGE - 32, ANON}), "beyond any address space");
	expect_refused(VMAS({16, UINT64_MAX / PAGE, ANON}), "not a range of pages");
	expect_refused(VMAS({16, 4, VMA_AREA_REGULAR | VMA_FILE_PRIVATE}), "isn't in files.img");
	expect_refused(VMAS({16, 4, VMA_AREA_REGULAR | VMA_FILE_SHARED | VMA_AREA_MEMFD}),
		       "isn't in files.img");
}

/* ------------------------------------------------------------- many mappings */

/* Their number doesn't fit into the header. */
static void test_many_segments(void **state)
{
	enum { MANY = 70000 };
	struct fake_vma *vmas = xcalloc(MANY + 1, sizeof(*vmas));
	auto_close int fd = memfd_create("core", MFD_CLOEXEC);
	struct fake f;
	Elf64_Phdr last;
	Elf64_Shdr sh;
	Elf64_Ehdr h;

	for (uint64_t i = 0; i < MANY; i++)
		vmas[i] = (struct fake_vma){16 + i * 2, 1, ANON};
	fake_new(&f, vmas, PAGES(16 + (MANY - 1) * 2));
	assert_int_equal(torpor_checkpoint_core(f.cp, PID, fd, 0), 0);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(h.e_phnum, PN_XNUM);
	assert_int_equal(h.e_shnum, 1);
	assert_int_equal(pread(fd, &sh, sizeof(sh), (off_t)h.e_shoff), sizeof(sh));
	assert_int_equal(sh.sh_info, MANY + 1);
	assert_int_equal(pread(fd, &last, sizeof(last), (off_t)(h.e_phoff + MANY * sizeof(last))),
			 sizeof(last));
	assert_int_equal(last.p_vaddr, (16 + (MANY - 1) * 2) * PAGE);
	assert_int_equal(last.p_filesz, PAGE);
	fake_done(&f);
	free(vmas);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_absurd_mappings),
		cmocka_unit_test(test_many_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
