/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of pages in a chain: those in use are compared, and the wrong one is named. */
#include "../lib/samples.h"
#include "base/auto.h"
#include "base/io.h"
#include "image/inventory.h"
#include "image/schema/core.pb-c.h"
#include "image/store.h"
#include "image/sums.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PAGE 4096u

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

/* "old" in "new" as its parent. Task 7: pages 0 to 7, of which 2 to 5 are left to the parent. */
struct chain {
	struct img_dir new, old;
	char old_path[256];
};

static const struct page_run old_runs[] = {{0x10000, 10, PE_PRESENT}};
static const struct page_run new_runs[] = {
	{0x10000, 2, PE_PRESENT}, {0x12000, 4, PE_PARENT}, {0x16000, 2, PE_PRESENT}};

static void write_pages(const struct img_dir *dir, const struct page_run *runs, size_t n)
{
	struct pagemap_writer *w;
	struct err err = ERR_INIT;

	assert_ok(pagemap_create(dir, IMG_PAGEMAP, 7, 1, &w, &err));
	for (size_t i = 0; i < n; i++) {
		uint64_t off;

		assert_ok(pagemap_add(w, &runs[i], &off, &err));
		for (uint64_t k = 0; runs[i].flags & PE_PRESENT && k < runs[i].npages; k++) {
			uint8_t page[PAGE];

			memset(page, (int)(runs[i].vaddr / PAGE + k), sizeof(page));
			assert_int_equal(io_pwrite_full(pagemap_pages_fd(w, &err), page, PAGE,
							off + k * PAGE),
					 0);
			pagemap_wrote(w, off + k * PAGE, PAGE);
		}
	}
	assert_ok(pagemap_close(w, &err));
}

static void finish(struct img_dir *dir, const char *run_id, const char *parent)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct inventory_chain c = {0};
	struct err err = ERR_INIT;

	snprintf(c.run_id, sizeof(c.run_id), "%s", run_id);
	snprintf(c.parent_run_id, sizeof(c.parent_run_id), "%s", parent);
	assert_ok(inventory_write(dir, &ids, &c, &err));
	assert_ok(img_sums_write(dir, &err));
	img_sums_free(dir->sums);
	dir->sums = NULL;
}

static void chain_new(struct chain *c)
{
	sample_empty_dir(&c->new);
	assert_int_equal(mkdirat(c->new.fd, "old", 0700), 0);
	snprintf(c->old_path, sizeof(c->old_path), "%s/old", c->new.path);
	c->old = (struct img_dir){.path = c->old_path};
	c->old.fd = c->old.work_fd = open(c->old_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	c->old.sums = img_sums_new();
	write_pages(&c->old, old_runs, 1);
	finish(&c->old, "first", "");
	assert_int_equal(symlinkat("old", c->new.fd, "parent"), 0);
	c->new.sums = img_sums_new();
	write_pages(&c->new, new_runs, 3);
	finish(&c->new, "second", "first");
}

static void chain_done(struct chain *c)
{
	char **names;
	size_t n = sample_names(&c->old, &names);

	for (size_t i = 0; i < n; i++)
		unlinkat(c->old.fd, names[i], 0);
	sample_names_free(names, n);
	close(c->old.fd);
	unlinkat(c->new.fd, "old", AT_REMOVEDIR);
	sample_remove(&c->new);
}

static struct err verify(const struct chain *c, bool compare)
{
	struct img_dir dir = c->new;
	struct page_store *store = NULL;
	struct pool *pool = pool_new(2);
	const struct page_map *map;
	struct err err = ERR_INIT;
	int r;

	dir.sums = compare ? img_sums_new() : NULL;
	r = page_store_open(&dir, &store, &err);
	if (r == 0)
		r = page_store_map(store, IMG_PAGEMAP, 7, false, &map, &err);
	if (r == 0)
		r = page_store_verify(store, pool, &err);
	assert_int_equal(r < 0, err.code < 0);
	page_store_close(store);
	pool_free(pool);
	img_sums_free(dir.sums);
	return err;
}

static void flip(const struct img_dir *dir, const char *name, off_t at)
{
	auto_close int fd = openat(dir->fd, name, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void must_name(const struct chain *c, const char *first, const char *second)
{
	struct err err = verify(c, true);

	if (!err.code || !strstr(err.text, first) || !strstr(err.text, second))
		fail_msg("'%s' and '%s' aren't both in: %s", first, second, err.text);
}

static void whole_chains_are_accepted(void **state)
{
	struct chain c;

	chain_new(&c);
	assert_int_equal(verify(&c, true).code, 0);
	chain_done(&c);
}

static void every_page_in_use_is_compared(void **state)
{
	struct chain c;

	chain_new(&c);
	for (uint64_t page = 0; page < 8; page++) {
		bool is_old = page >= 2 && page < 6;
		uint64_t at = is_old || page < 2 ? page : page - 4; /* in the pages file */
		char place[64], address[64];

		snprintf(place, sizeof(place), "%spages-1.img: the page at byte %llu ",
			 is_old ? "/old: " : "", (unsigned long long)at * PAGE);
		snprintf(address, sizeof(address), "pagemap-7.img at 0x%llx)",
			 0x10000 + (unsigned long long)page * PAGE);
		for (off_t in = 0; in < PAGE; in += 4095) {
			flip(is_old ? &c.old : &c.new, "pages-1.img", (off_t)at * PAGE + in);
			must_name(&c, place, address);
			assert_int_equal(verify(&c, false).code, 0);
			flip(is_old ? &c.old : &c.new, "pages-1.img", (off_t)at * PAGE + in);
		}
	}
	assert_int_equal(verify(&c, true).code, 0);
	chain_done(&c);
}

/* What a later image has replaced may be gone (dedup), or be as it likes. */
static void pages_that_nobody_uses_are_not_compared(void **state)
{
	struct chain c;

	chain_new(&c);
	for (off_t page = 0; page < 10; page++)
		if (page < 2 || page > 5)
			flip(&c.old, "pages-1.img", page * PAGE + 100);
	assert_int_equal(verify(&c, true).code, 0);
	chain_done(&c);
}

static void damaged_sums_are_told_as_such(void **state)
{
	struct chain c;

	chain_new(&c);
	flip(&c.new, "sums-1.img", 3);
	must_name(&c, "sums-1.img: has changed", "");
	flip(&c.new, "sums-1.img", 3);
	flip(&c.old, "sums-1.img", 39);
	must_name(&c, "sums-1.img: has changed", "/old");
	unlinkat(c.old.fd, "sums-1.img", 0);
	must_name(&c, "sums-1.img: was removed", "/old");
	assert_int_equal(verify(&c, false).code, 0);
	chain_done(&c);
}

/* CRIU's, for instance. */
static void a_level_without_sums_is_passed_over(void **state)
{
	struct chain c;

	chain_new(&c);
	unlinkat(c.old.fd, "integrity.img", 0);
	flip(&c.old, "pages-1.img", 3 * PAGE);
	assert_int_equal(verify(&c, true).code, 0);
	flip(&c.new, "pages-1.img", 0);
	must_name(&c, "pages-1.img: the page at byte 0 ", "");
	chain_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_chains_are_accepted),
		cmocka_unit_test(every_page_in_use_is_compared),
		cmocka_unit_test(pages_that_nobody_uses_are_not_compared),
		cmocka_unit_test(damaged_sums_are_told_as_such),
		cmocka_unit_test(a_level_without_sums_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
