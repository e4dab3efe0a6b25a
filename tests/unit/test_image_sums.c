/* SPDX-License-Identifier: Apache-2.0 */
/* integrity.img: any change of any image is seen, at whatever byte. */
#include "image/sums.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "image/inventory.h"
#include "image/page_sums.h"
#include "image/pages.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/pstree.pb-c.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

static const char ghost_bytes[] = "ghost contents";
static const char large_bytes[300 * 1024];

static void write_pages(const struct img_dir *dir)
{
	struct err err = ERR_INIT;
	struct pagemap_writer *w;

	assert_ok(pagemap_create(dir, IMG_PAGEMAP, 7, 1, &w, &err));
	assert_ok(pagemap_add(w, &(struct page_run){0x1000, 1, PE_PRESENT}, NULL, &err));
	assert_ok(pagemap_add(w, &(struct page_run){0x3000, 1, PE_PRESENT}, NULL, &err));
	assert_int_equal(ftruncate(pagemap_pages_fd(w, &err), 8192), 0);
	pagemap_wrote(w, 0, 8192);
	assert_ok(pagemap_close(w, &err));
}

static void write_ghost(const struct img_dir *dir, uint32_t id, const void *data, size_t len)
{
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	struct err err = ERR_INIT;
	struct img_writer *w;

	sample_write(dir->fd, "source", data, len);
	assert_ok(img_create(dir, IMG_GHOST_FILE, id, &w, &err));
	assert_ok(img_put(w, &e.base, &err));
	{
		auto_close int fd = openat(dir->fd, "source", O_RDONLY | O_CLOEXEC);

		assert_ok(img_put_from(w, fd, 0, len, &err));
	}
	assert_ok(img_close(w, &err));
	unlinkat(dir->fd, "source", 0);
}

static void write_tree(const struct img_dir *dir)
{
	struct err err = ERR_INIT;
	struct img_writer *w;

	assert_ok(img_create(dir, IMG_PSTREE, 0, &w, &err));
	for (uint32_t pid = 7; pid < 10; pid++) {
		PstreeEntry e = PSTREE_ENTRY__INIT;

		e.pid = pid;
		assert_ok(img_put(w, &e.base, &err));
	}
	assert_ok(img_close(w, &err));
}

static void write_set(struct img_dir *dir)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct err err = ERR_INIT;

	sample_empty_dir(dir);
	dir->sums = img_sums_new();
	write_pages(dir);
	write_ghost(dir, 1, ghost_bytes, sizeof(ghost_bytes));
	write_ghost(dir, 2, large_bytes, sizeof(large_bytes)); /* copied by the kernel */
	write_tree(dir);
	assert_ok(inventory_write(dir, &ids, &(struct inventory_chain){.run_id = "r"}, &err));
	assert_ok(img_sums_write(dir, &err));
	img_sums_free(dir->sums);
	dir->sums = NULL;
}

static int check_pages(const struct img_dir *dir, const struct page_sums_table *sums)
{
	auto_close int fd = openat(dir->fd, "pages-1.img", O_RDONLY | O_CLOEXEC);
	uint8_t page[4096];

	for (size_t i = 0; i < sums->npages; i++) {
		if (pread(fd, page, sizeof(page), (off_t)(i * sizeof(page))) != sizeof(page))
			return -1;
		if (page_sum(page) != sums->sums[i])
			return -1;
	}
	return sums->npages == 2 ? 0 : -1;
}

/* Looks at every image, as a restore does. */
static int read_set(struct img_dir dir)
{
	struct err err = ERR_INIT;
	struct arena *a = arena_new();
	struct inventory inventory;
	struct page_sums_table sums;
	struct img_reader *r = NULL;
	struct pagemap *p;
	int ret;

	dir.sums = img_sums_new();
	ret = img_sums_read(&dir, &err);
	if (ret == 0)
		ret = inventory_read(&dir, a, &inventory, &err);
	if (ret == 0)
		ret = img_open(&dir, IMG_PSTREE, 0, &r, &err);
	img_reader_free(r);
	for (uint32_t id = 1; id <= 2 && ret == 0; id++) {
		ret = img_open(&dir, IMG_GHOST_FILE, id, &r, &err);
		img_reader_free(r);
	}
	if (ret == 0) {
		ret = page_sums_open(&dir, 1, 2, &sums, &err) < 0 ? err.code : 0;
		if (ret == 0 && img_sums_known(dir.sums))
			ret = check_pages(&dir, &sums);
		page_sums_close(&sums);
	}
	if (ret == 0) {
		ret = pagemap_load(&dir, IMG_PAGEMAP, 7, false, &p, &err);
		if (ret == 0)
			pagemap_free(p);
	}
	img_sums_free(dir.sums);
	arena_free(a);
	return ret;
}

static void a_whole_set_is_read(void **state)
{
	struct img_dir dir;

	write_set(&dir);
	assert_int_equal(read_set(dir), 0);
	sample_remove(&dir);
}

static void each_cut_is_seen(void **state)
{
	struct img_dir dir;
	char **names;
	size_t n;

	write_set(&dir);
	n = sample_names(&dir, &names);
	assert_int_equal(n, 8);
	for (size_t i = 0; i < n; i++) {
		size_t len;
		auto_free uint8_t *data = sample_read(dir.fd, names[i], &len);
		size_t step = len > 1000 ? 1000 : 1;

		for (size_t cut = 0; cut < len; cut += step) {
			sample_write(dir.fd, names[i], data, cut);
			if (read_set(dir) >= 0)
				fail_msg("%s cut off at %zu was accepted", names[i], cut);
		}
		unlinkat(dir.fd, names[i], 0);
		if (strcmp(names[i], "integrity.img") != 0)
			assert_true(read_set(dir) < 0);
		sample_write(dir.fd, names[i], data, len);
		assert_int_equal(read_set(dir), 0);
	}
	sample_names_free(names, n);
	sample_remove(&dir);
}

static void each_flipped_byte_is_seen(void **state)
{
	struct img_dir dir;
	char **names;
	size_t n;

	write_set(&dir);
	n = sample_names(&dir, &names);
	for (size_t i = 0; i < n; i++) {
		size_t len;
		auto_free uint8_t *data = sample_read(dir.fd, names[i], &len);

		for (size_t at = 0; at<len; at += len> 100000 ? 997 : 1) {
			data[at] ^= (uint8_t)(1 + at % 255);
			sample_write(dir.fd, names[i], data, len);
			if (read_set(dir) >= 0)
				fail_msg("%s changed at %zu was accepted", names[i], at);
			data[at] ^= (uint8_t)(1 + at % 255);
		}
		sample_write(dir.fd, names[i], data, len);
	}
	assert_int_equal(read_set(dir), 0);
	sample_names_free(names, n);
	sample_remove(&dir);
}

static void what_the_dump_did_not_write_is_absent(void **state)
{
	struct err err = ERR_INIT;
	struct img_reader *r;
	struct img_dir dir;

	write_set(&dir);
	sample_write(dir.fd, "ghost-file-3.img", "of an older dump", 16);
	dir.sums = img_sums_new();
	assert_ok(img_sums_read(&dir, &err));
	assert_true(img_sums_known(dir.sums));
	assert_ok(img_open(&dir, IMG_GHOST_FILE, 3, &r, &err));
	assert_null(r);
	img_sums_free(dir.sums);
	dir.sums = NULL;
	sample_remove(&dir);
}

/* CRIU has dumped into the directory of an older dump of ours. */
static void sums_of_another_dump_are_not_used(void **state)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct err err = ERR_INIT;
	struct img_dir dir;

	write_set(&dir);
	sample_write(dir.fd, "pstree.img", "another tree", 12);
	assert_ok(inventory_write(&dir, &ids, &(struct inventory_chain){.run_id = "other"}, &err));
	dir.sums = img_sums_new();
	assert_ok(img_sums_read(&dir, &err));
	assert_false(img_sums_known(dir.sums));
	img_sums_free(dir.sums);
	dir.sums = NULL;
	sample_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_set_is_read),
		cmocka_unit_test(each_cut_is_seen),
		cmocka_unit_test(each_flipped_byte_is_seen),
		cmocka_unit_test(what_the_dump_did_not_write_is_absent),
		cmocka_unit_test(sums_of_another_dump_are_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
