/* SPDX-License-Identifier: Apache-2.0 */
/* Memory images, good ones and such that must be refused: mem/load.c. */
#include "base/auto.h"
#include "image/inventory.h"
#include "image/pages.h"
#include "image/schema/mm.pb-c.h"
#include "kernel/uapi/mman.h"
#include "mem/restore.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ANON  (VMA_AREA_REGULAR | VMA_ANON_PRIVATE)
#define VPID  7
#define NVMAS 5

/* A small address space that is right; each case spoils one thing of it. */
struct image {
	MmEntry mm;
	VmaEntry vmas[NVMAS];
	VmaEntry *list[NVMAS];
	struct page_run runs[2];
};

static struct img_dir dir;

static void vma(VmaEntry *e, uint64_t start, uint64_t end, uint32_t status, uint32_t flags)
{
	vma_entry__init(e);
	e->start = start;
	e->end = end;
	e->status = status;
	e->flags = flags;
	e->prot = PROT_READ | PROT_WRITE;
	e->fd = -1;
}

static void image_init(struct image *im)
{
	mm_entry__init(&im->mm);
	vma(&im->vmas[0], 0x400000, 0x402000, VMA_AREA_REGULAR | VMA_FILE_PRIVATE, MAP_PRIVATE);
	im->vmas[0].shmid = 5;
	vma(&im->vmas[1], 0x402000, 0x406000, ANON, MAP_PRIVATE | MAP_ANONYMOUS);
	vma(&im->vmas[2], 0x500000, 0x502000, VMA_AREA_REGULAR | VMA_FILE_SHARED, MAP_SHARED);
	im->vmas[2].shmid = 6;
	vma(&im->vmas[3], 0xffffffffff600000, 0xffffffffff601000,
	    VMA_AREA_VSYSCALL | VMA_ANON_PRIVATE, MAP_PRIVATE | MAP_ANONYMOUS);
	vma(&im->vmas[4], 0x404000, 0x405000, VMA_AREA_GUARD, 0);
	im->vmas[4].prot = 0;
	for (size_t i = 0; i < NVMAS; i++)
		im->list[i] = &im->vmas[i];
	im->mm.n_vmas = NVMAS;
	im->mm.vmas = im->list;
	/* Over the border of the first two. */
	im->runs[0] = (struct page_run){.vaddr = 0x401000, .npages = 2, .flags = PE_PRESENT};
	im->runs[1] =
		(struct page_run){.vaddr = 0x405000, .npages = 1, .flags = PE_PRESENT | PE_LAZY};
}

static void write_image(const struct image *im)
{
	const struct inventory_chain chain = {.run_id = ""};
	static const uint8_t page[4096];
	struct pagemap_writer *w;
	struct err err = ERR_INIT;

	assert_int_equal(inventory_write_pre_dump(&dir, &chain, &err), 0);
	assert_int_equal(img_write_one(&dir, IMG_MM, VPID, &im->mm.base, &err), 0);
	assert_int_equal(pagemap_create(&dir, IMG_PAGEMAP, VPID, 1, &w, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(im->runs); i++) {
		const struct page_run *r = &im->runs[i];
		uint64_t off;

		assert_int_equal(pagemap_add(w, r, &off, &err), 0);
		for (uint64_t k = 0; k < r->npages && (r->flags & PE_PRESENT); k++)
			assert_int_equal(pwrite(pagemap_pages_fd(w, &err), page, sizeof(page),
						(off_t)(off + k * 4096)),
					 4096);
	}
	assert_int_equal(pagemap_close(w, &err), 0);
}

static void load(const struct image *im, enum err_kind want)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct page_store *store;
	struct rmem *m = NULL;
	int r;

	write_image(im);
	assert_int_equal(page_store_open(&dir, &store, &err), 0);
	r = rmem_load(&dir, store, VPID, a, &m, &err);
	assert_int_equal(err.kind, want);
	assert_int_equal(r < 0, want != ERR_NONE);
	rmem_free(m);
	page_store_close(store);
	arena_free(a);
}

static void test_good(void **state)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct page_store *store;
	struct rmem *m = NULL;
	struct image im;

	image_init(&im);
	write_image(&im);
	assert_int_equal(page_store_open(&dir, &store, &err), 0);
	assert_int_equal(rmem_load(&dir, store, VPID, a, &m, &err), 0);
	assert_int_equal(m->vmas.len, 4); /* [vsyscall] is the kernel's */
	assert_int_equal(m->nreal, 3);
	assert_int_equal(m->vmas.data[0].fdflags, O_RDONLY);
	assert_int_equal(m->vmas.data[1].fdflags, -1);
	assert_int_equal(m->vmas.data[2].fdflags, O_RDWR); /* guessed: writable and shared */
	assert_int_equal(m->dumpable, 1);
	rmem_free(m);
	page_store_close(store);
	arena_free(a);
}

/* One field of one mapping, and what has to be said about it. */
static const struct spoiled {
	int vma;
	size_t field;
	uint64_t value;
	enum err_kind want;
} spoiled[] = {
#define F(name) offsetof(VmaEntry, name)
	{0, F(start), 0x400001, ERR_INPUT},
	{0, F(end), 0x400000, ERR_INPUT},
	{0, F(end), 0x403000, ERR_INPUT}, /* overlap */
	{0, F(start), 0, ERR_INPUT},
	{2, F(end), 0x800000000000, ERR_INPUT},
	{2, F(end), 0xfffffffffffff000, ERR_INPUT},
	{0, F(pgoff), 0x123, ERR_INPUT},
	{0, F(pgoff), 0x7ffffffffffff000, ERR_INPUT},
	{0, F(shmid), 0, ERR_INPUT},
	{0, F(shmid), UINT64_C(1) << 32, ERR_INPUT},
	{4, F(start), 0x406000, ERR_INPUT}, /* a guard of nothing */
	{4, F(end), 0x407000, ERR_INPUT},
#undef F
};

static void test_spoiled_addresses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(spoiled); i++) {
		struct image im;

		image_init(&im);
		memcpy((char *)&im.vmas[spoiled[i].vma] + spoiled[i].field, &spoiled[i].value, 8);
		load(&im, spoiled[i].want);
	}
}

static void spoil_kind(int i, uint32_t status, uint32_t flags, enum err_kind want)
{
	struct image im;

	image_init(&im);
	im.vmas[i].status = status;
	im.vmas[i].flags = flags;
	load(&im, want);
}

static void test_spoiled_kinds(void **state)
{
	const uint32_t anon = MAP_PRIVATE | MAP_ANONYMOUS;

	spoil_kind(1, ANON, anon, ERR_NONE);
	spoil_kind(1, ANON, MAP_ANONYMOUS, ERR_INPUT);
	spoil_kind(1, ANON, MAP_SHARED, ERR_INPUT);
	spoil_kind(1, VMA_AREA_REGULAR, anon, ERR_INPUT);
	spoil_kind(1, VMA_ANON_PRIVATE, anon, ERR_INPUT);
	spoil_kind(1, ANON | VMA_FILE_PRIVATE, anon, ERR_INPUT);
	spoil_kind(1, ANON | VMA_AREA_SHSTK, anon, ERR_REFUSED);
	spoil_kind(1, ANON | 1u << 27, anon, ERR_REFUSED);
	spoil_kind(1, VMA_AREA_AIORING, MAP_SHARED, ERR_REFUSED);
	spoil_kind(2, VMA_AREA_REGULAR | VMA_ANON_SHARED, MAP_SHARED, ERR_NONE);
	spoil_kind(2, VMA_AREA_REGULAR | VMA_ANON_SHARED | VMA_AREA_SYSVIPC, MAP_SHARED,
		   ERR_REFUSED);
	/* Pages where nothing may have pages. */
	spoil_kind(1, ANON, MAP_DROPPABLE | MAP_ANONYMOUS, ERR_INPUT);
	spoil_kind(1, ANON | VMA_AREA_VVAR, anon, ERR_INPUT);
}

static void test_spoiled_rest(void **state)
{
	struct image im;

	image_init(&im);
	im.vmas[1].prot = 0x10;
	load(&im, ERR_INPUT);
	image_init(&im);
	im.vmas[1].has_madv = true;
	im.vmas[1].madv = 1 << MADV_DONTNEED;
	load(&im, ERR_INPUT);
	image_init(&im);
	im.vmas[2].has_fdflags = true;
	im.vmas[2].fdflags = O_RDWR | O_TRUNC;
	load(&im, ERR_INPUT);
	/* A mapping behind the guards. */
	image_init(&im);
	im.list[2] = &im.vmas[4];
	im.list[4] = &im.vmas[2];
	load(&im, ERR_INPUT);
}

static void test_spoiled_pages(void **state)
{
	static const struct {
		struct page_run run;
		enum err_kind want;
	} cases[] = {
		{{.vaddr = 0x406000, .npages = 1, .flags = PE_PRESENT}, ERR_INPUT},
		{{.vaddr = 0x405000, .npages = 2, .flags = PE_PRESENT}, ERR_INPUT},
		{{.vaddr = 0x500000, .npages = 1, .flags = PE_PRESENT}, ERR_INPUT}, /* shared */
		{{.vaddr = 0x405000, .npages = 1, .flags = PE_PARENT}, ERR_INPUT},
		{{.vaddr = 0x405000, .npages = 1, .flags = PE_LAZY}, ERR_INPUT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image im;

		image_init(&im);
		im.runs[1] = cases[i].run;
		load(&im, cases[i].want);
	}
}

static int make_dir(void **state)
{
	static char name[] = "/tmp/test_rmem_load.XXXXXX";

	dir.path = mkdtemp(name);
	dir.fd = dir.work_fd = dir.path ? open(dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir.fd < 0;
}

static int remove_dir(void **state)
{
	unlinkat(dir.fd, "inventory.img", 0);
	unlinkat(dir.fd, "mm-7.img", 0);
	unlinkat(dir.fd, "pagemap-7.img", 0);
	unlinkat(dir.fd, "pages-1.img", 0);
	close(dir.fd);
	return rmdir(dir.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	      cmocka_unit_test(test_spoiled_addresses),
		cmocka_unit_test(test_spoiled_kinds), cmocka_unit_test(test_spoiled_rest),
		cmocka_unit_test(test_spoiled_pages),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
