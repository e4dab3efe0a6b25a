/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged images: an error or a clean parse, never a crash (the sanitizers look on). Cutting off
 * inside a record or its bytes is an error each time. Deterministic.
 */
#include "image/check.h"

#include "../lib/imgwalk.h"
#include "../lib/samples.h"
#include "base/auto.h"
#include "base/vec.h"
#include "image/schema/pagemap.pb-c.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Between them they have every kind of image that there is a sample of. */
static const char *const sets[] = {"multi", "zoo", "ns", NULL};

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

struct ends {
	VEC(uint64_t) at; /* where records start, that is, where one before has ended */
};

static int note_record(void *ctx, const struct imgwalk_record *r, struct err *err)
{
	*vec_push(&((struct ends *)ctx)->at) = r->at;
	return 0;
}

static bool is_border(const struct ends *e, uint64_t at)
{
	for (size_t i = 0; i < e->at.len; i++)
		if (e->at.data[i] == at)
			return true;
	return false;
}

static int ignore_record(void *ctx, const struct imgwalk_record *r, struct err *err)
{
	return 0;
}

static int walk_again(const struct img_dir *dir, enum img_kind kind, uint64_t id)
{
	struct err err = ERR_INIT;
	int r = imgwalk(dir, kind, id, ignore_record, NULL, &err);

	/* The contract: set if and only if negative. */
	assert_int_equal(r < 0, err.code < 0);
	assert_int_equal(r < 0, err.text[0] != '\0');
	return r;
}

/* A ghost's contents go on to the end of the file, wherever that is. */
static bool has_open_end(enum img_kind kind)
{
	return kind == IMG_GHOST_FILE || kind == IMG_MAPPED_FILE;
}

static void cut_everywhere(const struct img_dir *dir, const char *name)
{
	struct err err = ERR_INIT;
	struct ends ends = {0};
	enum img_kind kind;
	uint64_t id;
	size_t len;
	auto_free uint8_t *data = sample_read(dir->fd, name, &len);
	auto_close int fd = openat(dir->fd, name, O_WRONLY | O_CLOEXEC);

	if (!imgwalk_kind(name, &kind, &id))
		return;
	assert_int_equal(imgwalk(dir, kind, id, note_record, &ends, &err), 0);
	for (size_t cut = len; cut-- > 0;) {
		int r;

		assert_int_equal(ftruncate(fd, (off_t)cut), 0);
		r = walk_again(dir, kind, id);
		if (r >= 0 && !is_border(&ends, cut) && !has_open_end(kind))
			fail_msg("%s cut off at %zu was accepted", name, cut);
	}
	assert_int_equal(pwrite(fd, data, len, 0), len);
	vec_done(&ends.at);
}

static void flip_some(const struct img_dir *dir, const char *name, uint32_t *seed)
{
	enum img_kind kind;
	uint64_t id;
	size_t len;
	auto_free uint8_t *data = sample_read(dir->fd, name, &len);
	auto_close int fd = openat(dir->fd, name, O_WRONLY | O_CLOEXEC);

	if (!imgwalk_kind(name, &kind, &id))
		return;
	for (int i = 0; i < 150; i++) {
		size_t at = next_random(seed) % len;
		uint8_t byte = (uint8_t)(data[at] ^ (1u << next_random(seed) % 8));

		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		(void)walk_again(dir, kind, id); /* clean, or not */
		assert_int_equal(pwrite(fd, &data[at], 1, (off_t)at), 1);
	}
}

static void for_each_image(void (*fn)(const struct img_dir *dir, const char *name, uint32_t *seed))
{
	uint32_t seed = 1;

	for (const char *const *set = sets; *set; set++) {
		struct img_dir dir;
		char **names;
		size_t n;

		sample_copy(*set, &dir);
		n = sample_names(&dir, &names);
		for (size_t i = 0; i < n; i++)
			if (strncmp(names[i], "pages-", 6) != 0)
				fn(&dir, names[i], &seed);
		sample_names_free(names, n);
		sample_remove(&dir);
	}
}

static void cut_image(const struct img_dir *dir, const char *name, uint32_t *seed)
{
	cut_everywhere(dir, name);
}

static void cuts_are_errors(void **state)
{
	for_each_image(cut_image);
}

static void flips_do_not_crash_the_readers(void **state)
{
	for_each_image(flip_some);
}

/* -------------------------------------------------------- whole directories */

static int check_set(const struct img_dir *dir)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	int r = image_check(dir, a, &err);

	arena_free(a);
	assert_int_equal(r < 0, err.code < 0);
	if (r < 0 && !strstr(err.text, ".img"))
		fail_msg("no file is named: %s", err.text);
	return r;
}

/* One to four bits in a file of the set; how many of the sets are refused. */
static void flip_and_check(const struct img_dir *dir, const char *name, uint32_t *seed,
			   size_t *refused)
{
	size_t len;
	auto_free uint8_t *data = sample_read(dir->fd, name, &len);

	for (int i = 0; len && i < 25; i++) {
		auto_free uint8_t *bad = xcalloc(1, len);

		memcpy(bad, data, len);
		for (uint32_t k = next_random(seed) % 4 + 1; k; k--)
			bad[next_random(seed) % len] ^= (uint8_t)(1u << next_random(seed) % 8);
		sample_write(dir->fd, name, bad, len);
		*refused += check_set(dir) < 0;
	}
	sample_write(dir->fd, name, data, len);
}

static void flips_do_not_crash_the_checks(void **state)
{
	uint32_t seed = 7;
	size_t refused = 0;

	for (const char *const *set = sets; *set; set++) {
		struct img_dir dir;
		char **names;
		size_t n;

		sample_copy(*set, &dir);
		n = sample_names(&dir, &names);
		for (size_t i = 0; i < n; i++)
			if (strncmp(names[i], "pages-", 6) != 0)
				flip_and_check(&dir, names[i], &seed, &refused);
		assert_int_equal(check_set(&dir), 0);
		sample_names_free(names, n);
		sample_remove(&dir);
	}
	assert_true(refused > 500);
}

/* ------------------------------------------------------------- hostile ones */

static struct err err_of_file(enum img_kind kind, const void *data, size_t len)
{
	struct err err = ERR_INIT;
	struct img_dir dir;
	char name[IMG_NAME_MAX];

	sample_empty_dir(&dir);
	img_name(kind, 1, name);
	sample_write(dir.fd, name, data, len);
	assert_true(imgwalk(&dir, kind, 1, ignore_record, NULL, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_non_null(strstr(err.text, name));
	sample_remove(&dir);
	return err;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* cgroup directories in directories: unpacking recurses as deep as the file wants. */
static void deep_nesting_is_refused(void **state)
{
	enum { LEN = 600000, HEAD = 12 };
	static uint8_t file[HEAD + LEN];
	uint8_t *end = file + sizeof(file), *p = end;
	struct err err;

	while (p - (file + HEAD) >= 6) {
		uint32_t inside;

		p -= 2; /* dir_name: "" */
		p[0] = 1 << 3 | 2;
		p[1] = 0;
		inside = (uint32_t)(end - p);
		p -= 4; /* field 2, a length of three bytes, for the level above */
		p[0] = 2 << 3 | 2;
		p[1] = (uint8_t)(inside | 0x80);
		p[2] = (uint8_t)(inside >> 7 | 0x80);
		p[3] = (uint8_t)(inside >> 14);
	}
	put32(file, 0x54564319);
	put32(file + 4, 0x59383330);
	put32(file + 8, (uint32_t)(end - p));
	memmove(file + HEAD, p, (size_t)(end - p));
	/* Outside: cgroup_entry, with field 2 a controller whose field 2 is a directory. */
	err = err_of_file(IMG_CGROUP, file, HEAD + (size_t)(end - p));
	assert_non_null(strstr(err.text, "deep"));
}

static void a_record_larger_than_the_file_is_refused(void **state)
{
	uint8_t file[16];

	put32(file, 0x54564319);
	put32(file + 4, 0x50273030);
	put32(file + 8, UINT32_MAX);
	put32(file + 12, 0);
	assert_non_null(strstr(err_of_file(IMG_PSTREE, file, sizeof(file)).text, "truncated"));
}

/* A sparse file is as large as its record says; its bytes must not be allocated. */
static void a_huge_record_is_refused(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;
	uint8_t head[12];

	sample_empty_dir(&dir);
	put32(head, 0x54564319);
	put32(head + 4, 0x50273030);
	put32(head + 8, UINT32_MAX);
	sample_write(dir.fd, "pstree.img", head, sizeof(head));
	{
		auto_close int fd = openat(dir.fd, "pstree.img", O_WRONLY | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, INT64_C(1) << 33), 0);
	}
	assert_true(imgwalk(&dir, IMG_PSTREE, 0, ignore_record, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "more than any record"));
	sample_remove(&dir);
}

static void the_missing_field_is_named(void **state)
{
	/* fs_entry with root_id only */
	uint8_t file[14] = {[12] = 0x10, [13] = 1};
	struct err err;

	put32(file, 0x54564319);
	put32(file + 4, 0x51403912);
	put32(file + 8, 2);
	err = err_of_file(IMG_FS, file, sizeof(file));
	assert_string_equal(err.text, "fs-1.img: record at 8: fs_entry.cwd_id is missing");
}

static void old_headers_are_accepted(void **state)
{
	/* No common word in front: version 1. */
	uint8_t file[12] = {[8] = 0x08, [9] = 1, [10] = 0x10, [11] = 2};
	struct err err = ERR_INIT;
	struct img_dir dir;

	put32(file, 0x51403912);
	put32(file + 4, 4);
	sample_empty_dir(&dir);
	sample_write(dir.fd, "fs-1.img", file, sizeof(file));
	assert_int_equal(imgwalk(&dir, IMG_FS, 1, ignore_record, NULL, &err), 0);
	sample_remove(&dir);
}

/* Opening one would block for ever. */
static void a_fifo_is_not_an_image(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	sample_empty_dir(&dir);
	assert_int_equal(mkfifoat(dir.fd, "pstree.img", 0600), 0);
	assert_true(imgwalk(&dir, IMG_PSTREE, 0, ignore_record, NULL, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	sample_remove(&dir);
}

/* Somebody else's file behind a link of the image's name. */
static void a_planted_link_is_not_written_through(void **state)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct err err = ERR_INIT;
	struct img_dir dir;
	size_t len;
	uint8_t *data;

	sample_empty_dir(&dir);
	sample_write(dir.fd, "victim", "precious", 8);
	assert_int_equal(symlinkat("victim", dir.fd, "pagemap-1.img"), 0);
	assert_int_equal(img_write_one(&dir, IMG_PAGEMAP, 1, &head.base, &err), 0);
	data = sample_read(dir.fd, "victim", &len);
	assert_int_equal(len, 8);
	assert_memory_equal(data, "precious", 8);
	free(data);
	sample_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_are_errors),
		cmocka_unit_test(flips_do_not_crash_the_readers),
		cmocka_unit_test(flips_do_not_crash_the_checks),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(a_record_larger_than_the_file_is_refused),
		cmocka_unit_test(a_huge_record_is_refused),
		cmocka_unit_test(the_missing_field_is_named),
		cmocka_unit_test(old_headers_are_accepted),
		cmocka_unit_test(a_fifo_is_not_an_image),
		cmocka_unit_test(a_planted_link_is_not_written_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
