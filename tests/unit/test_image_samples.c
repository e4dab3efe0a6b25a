/* SPDX-License-Identifier: Apache-2.0 */
/* Images made by CRIU: read, and written again to the same bytes. */
#include "image/image.h"
#include "image/pages.h"

#include "../lib/imgwalk.h"
#include "../lib/samples.h"
#include "base/auto.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/pstree.pb-c.h"

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

/* ------------------------------------------------------- CRIU's records */

struct expected {
	const char *name;
	const uint8_t *data;
	size_t len;
	size_t nrecords;
	uint64_t end; /* of the last record, with what follows it */
};

static int same_bytes(void *ctx, const struct imgwalk_record *r, struct err *err)
{
	struct expected *e = ctx;
	uint32_t size;
	uint8_t packed[64 * 1024];

	memcpy(&size, e->data + r->at, sizeof(size));
	assert_in_range(size, 0, sizeof(packed));
	assert_int_equal(protobuf_c_message_get_packed_size(r->msg), size);
	protobuf_c_message_pack(r->msg, packed);
	assert_memory_equal(packed, e->data + r->at + sizeof(size), size);
	assert_int_equal(r->msg->n_unknown_fields, 0);
	e->end = r->at + sizeof(size) + size + r->raw;
	e->nrecords++;
	return 0;
}

static void check_file(const struct img_dir *dir, const char *name)
{
	struct err err = ERR_INIT;
	struct expected e = {.name = name};
	auto_free uint8_t *data = sample_read(dir->fd, name, &e.len);
	enum img_kind kind;
	uint64_t id;

	if (!imgwalk_kind(name, &kind, &id))
		return;
	e.data = data;
	assert_ok(imgwalk(dir, kind, id, same_bytes, &e, &err));
	assert_true(e.nrecords > 0);
	assert_int_equal(e.end, e.len);
}

static void records_decode_and_encode_the_same(void **state)
{
	for (const char *const *set = sample_sets; *set; set++) {
		struct img_dir dir;
		char **names;
		size_t n;

		sample_copy(*set, &dir);
		n = sample_names(&dir, &names);
		assert_true(n > 10);
		for (size_t i = 0; i < n; i++)
			check_file(&dir, names[i]);
		sample_names_free(names, n);
		sample_remove(&dir);
	}
}

static void pagemaps_load(void **state)
{
	static const struct {
		const char *set;
		enum img_kind kind;
		uint64_t id;
		size_t nruns;
		uint64_t npages;
	} cases[] = {
		{"shell", IMG_PAGEMAP, 17880, 13, 31},
		{"multi", IMG_PAGEMAP, 17942, 9, 19},
		{"multi", IMG_PAGEMAP_SHMEM, 26544, 1, 3},
		{"http", IMG_PAGEMAP, 18293, 0, 2346},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		struct pagemap *p;
		struct img_dir dir;

		sample_copy(cases[i].set, &dir);
		assert_ok(pagemap_load(&dir, cases[i].kind, cases[i].id, false, &p, &err));
		if (cases[i].nruns)
			assert_int_equal(p->nruns, cases[i].nruns);
		assert_int_equal(p->npages, cases[i].npages);
		assert_int_equal(p->pages_len, cases[i].npages * 4096);
		assert_int_equal(p->pages[p->pages_len - 1], 0);
		pagemap_free(p);
		sample_remove(&dir);
	}
}

/* ------------------------------------------------------------ our bytes */

static void assert_file(const struct img_dir *dir, const char *name, const void *data, size_t len)
{
	size_t have;
	auto_free uint8_t *got = sample_read(dir->fd, name, &have);

	assert_int_equal(have, len);
	assert_memory_equal(got, data, len);
}

/* The worked example of the format's description. */
static void writes_the_known_bytes(void **state)
{
	static const uint8_t want[] = {
		0x19, 0x43, 0x56, 0x54, 0x09, 0x37, 0x45, 0x56, 0x0a, 0,    0,
		0,    0x08, 0xc3, 0xa2, 0x7c, 0x10, 0x0a, 0x18, 0x80, 0x80, 0x04,
		'p',  'i',  'p',  'e',	'-',  'b',  'y',  't',	'e',  's',
	};
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	struct err err = ERR_INIT;
	struct img_writer *w;
	struct img_dir dir;

	sample_empty_dir(&dir);
	e.pipe_id = 2036035;
	e.bytes = 10;
	e.has_size = true;
	e.size = 65536;
	assert_ok(img_create(&dir, IMG_PIPES_DATA, 0, &w, &err));
	assert_ok(img_put(w, &e.base, &err));
	assert_ok(img_put_raw(w, "pipe-bytes", 10, &err));
	assert_ok(img_close(w, &err));
	assert_file(&dir, "pipes-data.img", want, sizeof(want));
	sample_remove(&dir);
}

static void repeated_numbers_are_not_packed(void **state)
{
	static const uint8_t want[] = {0x28, 0x96, 0x8c, 0x01, 0x28, 0x97, 0x8c, 0x01};
	uint32_t threads[] = {17942, 17943};
	PstreeEntry e = PSTREE_ENTRY__INIT;
	struct err err = ERR_INIT;
	struct img_dir dir;
	size_t len;
	uint8_t *data;

	sample_empty_dir(&dir);
	e.n_threads = 2;
	e.threads = threads;
	assert_ok(img_write_one(&dir, IMG_PSTREE, 0, &e.base, &err));
	data = sample_read(dir.fd, "pstree.img", &len);
	assert_true(len > sizeof(want));
	assert_memory_equal(data + len - sizeof(want), want, sizeof(want));
	free(data);
	sample_remove(&dir);
}

/* A dump into a used directory must not leave images of the old one. */
static void a_stale_file_goes_even_if_nothing_is_written(void **state)
{
	struct err err = ERR_INIT;
	struct img_writer *w;
	struct img_reader *r;
	struct img_dir dir;

	sample_empty_dir(&dir);
	sample_write(dir.fd, "ghost-file-1a.img", "old", 3);
	assert_ok(img_create(&dir, IMG_GHOST_FILE, 0x1a, &w, &err));
	assert_ok(img_close(w, &err));
	assert_ok(img_open(&dir, IMG_GHOST_FILE, 0x1a, &r, &err));
	assert_null(r);
	sample_remove(&dir);
}

/* Records and bytes of any size, over the buffers' borders, from memory, files and pipes. */
static void large_records_come_back(void **state)
{
	static char name[200000], raw[300000];
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT, *back;
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct img_writer *w;
	struct img_reader *r;
	struct img_dir dir;
	char *bytes;
	int p[2];

	sample_empty_dir(&dir);
	memset(name, 'n', sizeof(name) - 1);
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (char)(i * 7 + i / 256);
	sample_write(dir.fd, "source", raw, sizeof(raw));
	e.symlnk_target = name;
	assert_ok(img_create(&dir, IMG_GHOST_FILE, 1, &w, &err));
	assert_ok(img_put(w, &e.base, &err));
	assert_ok(img_put_raw(w, raw, sizeof(raw), &err));
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], raw, 40000), 40000);
	assert_ok(img_put_from(w, p[0], -1, 40000, &err));
	assert_ok(img_put(w, &e.base, &err));
	assert_ok(img_close(w, &err));

	assert_ok(img_open(&dir, IMG_GHOST_FILE, 1, &r, &err));
	assert_int_equal(img_get(r, a, &back, &err), 1);
	assert_string_equal(back->symlnk_target, name);
	assert_ok(img_get_raw_arena(r, a, sizeof(raw), &bytes, &err));
	assert_memory_equal(bytes, raw, sizeof(raw));
	assert_ok(img_get_raw(r, bytes, 40000, &err));
	assert_memory_equal(bytes, raw, 40000);
	assert_int_equal(img_get(r, a, &back, &err), 1);
	assert_int_equal(img_get(r, a, &back, &err), 0);
	img_reader_free(r);
	close(p[0]);
	close(p[1]);
	arena_free(a);
	sample_remove(&dir);
}

static void pages_are_found_where_they_were_put(void **state)
{
	struct err err = ERR_INIT;
	struct pagemap_writer *w;
	struct pagemap *p;
	struct img_dir dir;
	uint64_t off;

	sample_empty_dir(&dir);
	assert_ok(pagemap_create(&dir, IMG_PAGEMAP, 7, 3, &w, &err));
	assert_ok(pagemap_add(w, &(struct page_run){0x1000, 1, PE_PRESENT}, &off, &err));
	assert_int_equal(off, 0);
	assert_ok(
		pagemap_add(w, &(struct page_run){0x2000, 2, PE_PRESENT}, &off, &err)); /* merged */
	assert_int_equal(off, 4096);
	assert_ok(pagemap_add(w, &(struct page_run){0x4000, 1, PE_PARENT}, &off, &err));
	assert_ok(pagemap_add(w, &(struct page_run){0x5000, 4, PE_PRESENT | PE_LAZY}, &off, &err));
	assert_int_equal(off, 3 * 4096);
	assert_int_equal(pagemap_pages_written(w), 7);
	assert_int_equal(ftruncate(pagemap_pages_fd(w, &err), 7 * 4096), 0);
	assert_ok(pagemap_close(w, &err));

	assert_ok(pagemap_load(&dir, IMG_PAGEMAP, 7, false, &p, &err));
	assert_int_equal(p->nruns, 3);
	assert_int_equal(p->npages, 8);
	assert_int_equal(p->runs[0].npages, 3);
	assert_int_equal(p->runs[2].off, 3 * 4096);
	assert_int_equal(pagemap_find(p, 0), 0);
	assert_int_equal(pagemap_find(p, 0x3fff), 0);
	assert_int_equal(pagemap_find(p, 0x4000), 1);
	assert_int_equal(pagemap_find(p, 0x8fff), 2);
	assert_int_equal(pagemap_find(p, 0x9000), 3);
	pagemap_free(p);
	sample_remove(&dir);
}

/* Older forms of a run: its length in the old field, in_parent instead of flags. */
static void old_pagemaps_load(void **state)
{
	struct pagemap_old {
		uint64_t vaddr;
		uint32_t n;
		bool parent;
	} old[] = {{0x1000, 2, false}, {0x3000, 1, true}};
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct err err = ERR_INIT;
	struct img_writer *w;
	struct pagemap *p;
	struct img_dir dir;

	sample_empty_dir(&dir);
	head.pages_id = 5;
	assert_ok(img_create(&dir, IMG_PAGEMAP, 1, &w, &err));
	assert_ok(img_put(w, &head.base, &err));
	for (size_t i = 0; i < ARRAY_SIZE(old); i++) {
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		e.vaddr = old[i].vaddr;
		e.compat_nr_pages = old[i].n;
		e.has_in_parent = e.in_parent = old[i].parent;
		assert_ok(img_put(w, &e.base, &err));
	}
	assert_ok(img_close(w, &err));
	sample_write(dir.fd, "pages-5.img", (char[8192]){0}, 8192);
	assert_ok(pagemap_load(&dir, IMG_PAGEMAP, 1, false, &p, &err));
	assert_int_equal(p->runs[0].flags, PE_PRESENT);
	assert_int_equal(p->runs[0].npages, 2);
	assert_int_equal(p->runs[1].flags, PE_PARENT);
	pagemap_free(p);
	sample_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_decode_and_encode_the_same),
		cmocka_unit_test(pagemaps_load),
		cmocka_unit_test(writes_the_known_bytes),
		cmocka_unit_test(repeated_numbers_are_not_packed),
		cmocka_unit_test(a_stale_file_goes_even_if_nothing_is_written),
		cmocka_unit_test(large_records_come_back),
		cmocka_unit_test(pages_are_found_where_they_were_put),
		cmocka_unit_test(old_pagemaps_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
