/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory objects through images and back: mem/shmem.c. */
#include "base/auto.h"
#include "image/inventory.h"
#include "image/store.h"
#include "mem/shmem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PAGE  4096u
#define SIZE  (40u * PAGE + 100) /* the last page is a partial one */
#define SHMID 12

static struct img_dir dir;
static struct page_store *store;

static int make_object(void)
{
	int fd = memfd_create("test_shmem", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	return fd;
}

static void put(int fd, off_t at, const char *text)
{
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

static void test_round_trip(void **state)
{
	int fd = make_object(), again = make_object();
	struct mem_stats stats = {.next_pages_id = 3};
	uint8_t *a, *b;
	struct stat st;
	struct err err = ERR_INIT;

	put(fd, 0, "first");
	put(fd, 7 * PAGE - 3, "over a border");
	put(fd, 20 * PAGE, "");				     /* nothing: stays a hole */
	assert_int_equal(pwrite(fd, "\0", 1, 30 * PAGE), 1); /* exists, but is zero */
	put(fd, 40 * PAGE + 90, "last");
	assert_int_equal(lseek(fd, 5, SEEK_SET), 5);

	assert_int_equal(shmem_dump(&dir, fd, SHMID, SIZE, NULL, &stats, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
	assert_int_equal(stats.shpages_written, 4);
	assert_int_equal(stats.next_pages_id, 4);
	assert_int_equal(fstatat(dir.fd, "pages-3.img", &st, 0), 0);
	assert_int_equal(st.st_size, 4 * PAGE);

	assert_int_equal(page_store_open(&dir, &store, &err), 0);
	assert_int_equal(shmem_fill(store, again, SHMID, SIZE, &err), 0);
	a = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	b = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, again, 0);
	assert_memory_equal(a, b, SIZE);
	assert_int_equal(fstat(again, &st), 0);
	assert_int_equal(st.st_size, SIZE);

	/* An object that is smaller than its pages. */
	assert_true(shmem_fill(store, again, SHMID, 8 * PAGE, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	munmap(a, SIZE);
	munmap(b, SIZE);
	close(fd);
	close(again);
}

static void test_empty(void **state)
{
	struct mem_stats stats = {.next_pages_id = 1};
	int fd = make_object();
	struct err err = ERR_INIT;

	assert_int_equal(shmem_dump(&dir, fd, 99, 0, NULL, &stats, &err), 0);
	assert_int_equal(faccessat(dir.fd, "pagemap-shmem-99.img", F_OK, 0), -1);
	/* Absent: all zero. */
	assert_int_equal(shmem_fill(store, fd, 99, SIZE, &err), 0);
	close(fd);
}

/* A memfd of huge pages: can't be written, and its images say nothing of huge pages. */
static void test_huge_object(void **state)
{
	const uint64_t size = UINT64_C(4) << 20;
	int from = memfd_create("plain", MFD_CLOEXEC);
	int to = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	struct mem_stats stats = {.next_pages_id = 4};
	struct page_store *own;
	struct err err = ERR_INIT;
	char *p;

	if (to < 0 || ftruncate(to, (off_t)size) < 0)
		return; /* no hugetlbfs */
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, to, 0);
	if (p == MAP_FAILED)
		return; /* no huge pages are reserved (vm.nr_hugepages) */
	assert_int_equal(ftruncate(from, (off_t)size), 0);
	put(from, 0, "first");
	put(from, 511 * PAGE + 4090, "over the border of two");
	put(from, 1023 * PAGE, "last");
	assert_int_equal(shmem_dump(&dir, from, 13, size, NULL, &stats, &err), 0);
	assert_int_equal(page_store_open(&dir, &own, &err), 0);
	assert_int_equal(shmem_fill(own, to, 13, size, &err), 0);
	assert_string_equal(p, "first");
	assert_string_equal(p + 511 * PAGE + 4090, "over the border of two");
	assert_string_equal(p + 1023 * PAGE, "last");
	page_store_close(own);
	munmap(p, size);
	close(from);
	close(to);
}

#define BIG_PAGES 8192u
#define BIG	  ((uint64_t)BIG_PAGES * PAGE)

static void fill_pages(int fd, size_t first, size_t last, uint8_t seed)
{
	uint8_t page[PAGE];

	for (size_t i = first; i < last; i++) {
		memset(page, seed, sizeof(page));
		memcpy(page + 100, &i, sizeof(i));
		assert_int_equal(pwrite(fd, page, PAGE, (off_t)(i * PAGE)), PAGE);
	}
}

/* What the second dump has to say of a page. */
static uint32_t wanted_flags(size_t page)
{
	if (page == 6 || page > 6000)
		return 0;
	if (page == 5 || (page >= 100 && page < 300) || page >= 5999)
		return PE_PRESENT;
	return PE_PARENT;
}

/*
 * Against the images of before: some pages changed, one became a hole, one is new, and the object
 * was cut off in the midst of a page although its size was said to be the old one.
 */
static void test_incremental(void **state)
{
	static char name[] = "/tmp/test_shmem.XXXXXX";
	struct img_dir next = {.path = mkdtemp(name)};
	int fd = memfd_create("test_shmem", MFD_CLOEXEC);
	struct mem_stats stats = {.next_pages_id = 20};
	struct page_store *parent;
	struct pagemap *p;
	struct err err = ERR_INIT;

	next.fd = next.work_fd = open(next.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, BIG), 0);
	fill_pages(fd, 0, 5999, 1);
	fill_pages(fd, 6000, BIG_PAGES, 1);
	assert_int_equal(shmem_dump(&dir, fd, 20, BIG, NULL, &stats, &err), 0);
	assert_int_equal(stats.shpages_written, BIG_PAGES - 1);
	assert_int_equal(page_store_open(&dir, &parent, &err), 0);

	fill_pages(fd, 5, 6, 2);
	fill_pages(fd, 100, 300, 3);
	fill_pages(fd, 5999, 6000, 1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 6 * PAGE, PAGE),
			 0);
	assert_int_equal(ftruncate(fd, 6000 * PAGE + 10), 0);
	stats = (struct mem_stats){.next_pages_id = 20};
	assert_int_equal(shmem_dump(&next, fd, 20, BIG, parent, &stats, &err), 0);
	assert_int_equal(stats.shpages_written, 1 + 200 + 2);
	assert_int_equal(stats.shpages_skipped_parent, 6001 - 203 - 1);

	assert_int_equal(pagemap_load(&next, IMG_PAGEMAP_SHMEM, 20, false, &p, &err), 0);
	for (size_t page = 0; page < BIG_PAGES; page++) {
		size_t i = pagemap_find(p, page * PAGE);
		bool found = i < p->nruns && p->runs[i].vaddr <= page * PAGE;
		uint32_t flags = found ? p->runs[i].flags : 0;
		uint8_t bytes[PAGE];
		ssize_t n;

		assert_int_equal(flags, wanted_flags(page));
		if (flags != PE_PRESENT)
			continue;
		memset(bytes, 0, sizeof(bytes));
		n = pread(fd, bytes, PAGE, (off_t)(page * PAGE));
		assert_int_equal(n, page == 6000 ? 10 : PAGE);
		assert_memory_equal(p->pages + p->runs[i].off + page * PAGE - p->runs[i].vaddr,
				    bytes, PAGE);
	}
	pagemap_free(p);
	page_store_close(parent);
	close(fd);
	unlinkat(next.fd, "pagemap-shmem-20.img", 0);
	unlinkat(next.fd, "pages-20.img", 0);
	unlinkat(dir.fd, "pagemap-shmem-20.img", 0);
	unlinkat(dir.fd, "pages-20.img", 0);
	close(next.fd);
	assert_int_equal(rmdir(next.path), 0);
}

static void test_create_anon(void **state)
{
	struct err err = ERR_INIT;
	int fd = shmem_create_anon(3 * PAGE, 0, &err);
	struct stat st;

	if (fd < 0 && err.kind == ERR_PERM)
		skip(); /* /proc/self/map_files needs CAP_CHECKPOINT_RESTORE */
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 3 * PAGE);
	assert_int_equal(st.st_nlink, 0);
	close(fd);
	assert_true(shmem_create_anon(0, 0, &err) < 0);
}

static int make_dir(void **state)
{
	const struct inventory_chain chain = {.run_id = ""};
	static char name[] = "/tmp/test_shmem.XXXXXX";
	struct err err = ERR_INIT;

	dir.path = mkdtemp(name);
	dir.fd = dir.work_fd = dir.path ? open(dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir.fd < 0 || inventory_write_pre_dump(&dir, &chain, &err) < 0;
}

static int remove_dir(void **state)
{
	page_store_close(store);
	unlinkat(dir.fd, "inventory.img", 0);
	unlinkat(dir.fd, "pagemap-shmem-12.img", 0);
	unlinkat(dir.fd, "pages-3.img", 0);
	unlinkat(dir.fd, "pagemap-shmem-13.img", 0);
	unlinkat(dir.fd, "pages-4.img", 0);
	close(dir.fd);
	return rmdir(dir.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_empty),
		cmocka_unit_test(test_huge_object), cmocka_unit_test(test_incremental),
		cmocka_unit_test(test_create_anon),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
