/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of images: which bytes are whose page, and which chains are refused. */
#include "image/store.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "base/io.h"
#include "image/inventory.h"
#include "image/parent.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/sums.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

#define assert_text(err, what)                                                                     \
	do {                                                                                       \
		if (!strstr((err)->text, what))                                                    \
			fail_msg("'%s' isn't in: %s", what, (err)->text);                          \
	} while (0)

/* ------------------------------------------------------------- directories */

/* One directory with those of the chain in it: 0, 1, 2 ...; the highest is the newest. */
struct set {
	struct img_dir top;
	struct img_dir dir[6];
	char name[6][128];
	int n;
};

static const char *run_id_of(int i)
{
	static char id[37];

	snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", i);
	return id;
}

static void open_dir(struct set *s, int i)
{
	snprintf(s->name[i], sizeof(s->name[i]), "%s/%d", s->top.path, i);
	s->dir[i].path = s->name[i];
	s->dir[i].fd = open(s->name[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->dir[i].work_fd = s->dir[i].fd;
	assert_true(s->dir[i].fd >= 0);
}

/* The last one is a dump, the others are pre-dumps, as inventories of torpor say it. */
static void write_inventory(struct set *s, int i, bool cow)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct inventory_chain chain = {.cow = cow};
	struct err err = ERR_INIT;

	snprintf(chain.run_id, sizeof(chain.run_id), "%s", run_id_of(i));
	if (i)
		snprintf(chain.parent_run_id, sizeof(chain.parent_run_id), "%s", run_id_of(i - 1));
	if (i == s->n - 1)
		assert_ok(inventory_write(&s->dir[i], &ids, &chain, &err));
	else
		assert_ok(inventory_write_pre_dump(&s->dir[i], &chain, &err));
}

static void set_new(struct set *s, int n)
{
	*s = (struct set){.n = n};
	sample_empty_dir(&s->top);
	for (int i = 0; i < n; i++) {
		char name[16], target[16];

		snprintf(name, sizeof(name), "%d", i);
		snprintf(target, sizeof(target), "../%d", i - 1);
		assert_int_equal(mkdirat(s->top.fd, name, 0700), 0);
		open_dir(s, i);
		if (i)
			assert_int_equal(symlinkat(target, s->dir[i].fd, "parent"), 0);
		write_inventory(s, i, /* cow= */ true);
	}
}

static void set_done(struct set *s)
{
	for (int i = 0; i < s->n; i++) {
		char name[16];
		char **names;
		size_t n = sample_names(&s->dir[i], &names);

		for (size_t k = 0; k < n; k++)
			unlinkat(s->dir[i].fd, names[k], 0);
		unlinkat(s->dir[i].fd, "parent", 0);
		sample_names_free(names, n);
		close(s->dir[i].fd);
		snprintf(name, sizeof(name), "%d", i);
		unlinkat(s->top.fd, name, AT_REMOVEDIR);
	}
	sample_remove(&s->top);
}

static const struct img_dir *last(const struct set *s)
{
	return &s->dir[s->n - 1];
}

/* ------------------------------------------------------------------ pages */

/* What is in page `nr` of what was written with this seed. */
static void fill_page(uint8_t page[PAGE], uint32_t seed, uint64_t nr)
{
	for (uint64_t i = 0; i < PAGE; i += 16) {
		memcpy(page + i, &nr, 8);
		memcpy(page + i + 8, &(uint64_t){seed}, 8);
	}
}

struct run {
	uint64_t page, n; /* from which page number on, how many */
	uint32_t flags;
	uint32_t seed; /* PE_PRESENT; of PE_COW the owner */
	bool huge;
};

static void write_pages(int fd, const struct run *r, uint64_t off)
{
	uint8_t page[PAGE];

	for (uint64_t i = 0; i < r->n; i++) {
		fill_page(page, r->seed, r->page + i);
		assert_int_equal(io_pwrite_full(fd, page, PAGE, off + i * PAGE), 0);
	}
}

/* `runs` end with one of no pages. */
static void put_map(const struct img_dir *dir, enum img_kind kind, uint64_t id,
		    const struct run *runs)
{
	struct pagemap_writer *w;
	struct err err = ERR_INIT;
	uint32_t pages_id = (uint32_t)id * 2 + (kind == IMG_PAGEMAP_SHMEM);

	assert_ok(pagemap_create(dir, kind, id, pages_id, &w, &err));
	for (const struct run *r = runs; r->n; r++) {
		struct page_run run = {
			.vaddr = r->page * PAGE,
			.npages = r->n,
			.flags = r->flags,
			.owner = r->flags & PE_COW ? r->seed : 0,
			.huge = r->huge,
		};
		uint64_t off;

		assert_ok(pagemap_add(w, &run, &off, &err));
		if (r->flags & PE_PRESENT)
			write_pages(pagemap_pages_fd(w, &err), r, off);
	}
	assert_ok(pagemap_close(w, &err));
}

#define PUT(dir, id, ...) put_map(dir, IMG_PAGEMAP, id, (const struct run[]){__VA_ARGS__, {0}})
#define PUT_SHMEM(dir, id, ...)                                                                    \
	put_map(dir, IMG_PAGEMAP_SHMEM, id, (const struct run[]){__VA_ARGS__, {0}})

static struct page_store *open_store(const struct img_dir *dir)
{
	struct page_store *s;
	struct err err = ERR_INIT;

	assert_ok(page_store_open(dir, &s, &err));
	return s;
}

static const struct page_map *map_of(struct page_store *s, enum img_kind kind, uint64_t id)
{
	const struct page_map *m;
	struct err err = ERR_INIT;

	assert_ok(page_store_map(s, kind, id, /* optional= */ false, &m, &err));
	return m;
}

static void expect_piece(const struct page_piece *p, const struct run *r)
{
	uint8_t page[PAGE];

	assert_int_equal(p->huge, r->huge);
	for (uint64_t i = 0; i < r->n; i++) {
		fill_page(page, r->seed, r->page + i);
		assert_memory_equal(p->src + (r->page + i) * PAGE - p->vaddr, page, PAGE);
	}
}

/* The pages, with these contents, and no others. */
static void expect_map(const struct page_map *m, const struct run *runs)
{
	uint64_t n = 0, in_pieces = 0;

	for (const struct run *r = runs; r->n; r++) {
		for (uint64_t i = 0; i < r->n; i++) {
			struct run one = {
				.page = r->page + i, .n = 1, .seed = r->seed, .huge = r->huge};
			size_t at = page_map_find(m, one.page * PAGE);

			assert_true(at < m->n && m->pieces[at].vaddr <= one.page * PAGE);
			expect_piece(&m->pieces[at], &one);
		}
		n += r->n;
	}
	for (size_t i = 0; i < m->n; i++) {
		in_pieces += m->pieces[i].npages;
		assert_true(!i || m->pieces[i].vaddr >=
					  m->pieces[i - 1].vaddr + m->pieces[i - 1].npages * PAGE);
	}
	assert_int_equal(n, m->npages);
	assert_int_equal(n, in_pieces);
}

#define EXPECT(map, ...) expect_map(map, (const struct run[]){__VA_ARGS__, {0}})

/* What is said if task 1 of the newest images can't be had. */
static struct err err_of(const struct img_dir *dir, enum img_kind kind, uint64_t id)
{
	const struct page_map *m;
	struct page_store *s = NULL;
	struct err err = ERR_INIT;
	int r = page_store_open(dir, &s, &err);

	if (r == 0)
		r = page_store_map(s, kind, id, /* optional= */ false, &m, &err);
	page_store_close(s);
	assert_true(r < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_true(err.hint[0]);
	return err;
}

/* ---------------------------------------------------------------- the tests */

static void a_full_dump_is_a_chain_of_one(void **state)
{
	const struct page_map *m;
	struct page_store *s;
	struct err err = ERR_INIT;
	struct set set;

	set_new(&set, 1);
	PUT(last(&set), 1, {10, 3, PE_PRESENT, 7}, {13, 1, PE_PRESENT | PE_LAZY, 7},
	    {20, 512, PE_PRESENT, 8, true});
	s = open_store(last(&set));
	assert_int_equal(page_store_depth(s), 1);
	assert_true(page_store_knows_cow(s));
	m = map_of(s, IMG_PAGEMAP, 1);
	EXPECT(m, {10, 4, 0, 7}, {20, 512, 0, 8, true});
	assert_int_equal(m->n, 2); /* what lies together is one piece */
	assert_string_equal(m->name, "pagemap-1.img");
	assert_ptr_equal(m, map_of(s, IMG_PAGEMAP, 1));
	assert_int_equal(page_map_find(m, 0), 0);
	assert_int_equal(page_map_find(m, 14 * PAGE), 1);
	assert_int_equal(page_map_find(m, 1000 * PAGE), 2);
	assert_ok(page_store_map(s, IMG_PAGEMAP, 2, /* optional= */ true, &m, &err));
	assert_null(m);
	assert_true(page_store_map(s, IMG_PAGEMAP, 2, /* optional= */ false, &m, &err) < 0);
	assert_text(&err, "pagemap-2.img: missing");
	page_store_close(s);
	set_done(&set);
}

static void runs_are_split_and_joined_down_the_chain(void **state)
{
	struct page_store *s;
	struct set set;

	set_new(&set, 4);
	PUT(&set.dir[0], 1, {0, 100, PE_PRESENT, 1}, {200, 10, PE_PRESENT, 1});
	PUT(&set.dir[1], 1, {0, 10, PE_PARENT}, {10, 5, PE_PRESENT, 2}, {15, 85, PE_PARENT},
	    {100, 3, PE_PRESENT, 2}, {200, 10, PE_PARENT});
	PUT(&set.dir[2], 1, {0, 30, PE_PARENT}, {30, 2, PE_PRESENT, 3}, {32, 71, PE_PARENT},
	    {205, 2, PE_PARENT});
	PUT(&set.dir[3], 1, {4, 96, PE_PARENT}, {100, 1, PE_PRESENT, 4}, {101, 2, PE_PARENT},
	    {206, 1, PE_PARENT});
	s = open_store(last(&set));
	assert_int_equal(page_store_depth(s), 4);
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {4, 6, 0, 1}, {10, 5, 0, 2}, {15, 15, 0, 1},
	       {30, 2, 0, 3}, {32, 68, 0, 1}, {100, 1, 0, 4}, {101, 2, 0, 2}, {206, 1, 0, 1});
	page_store_close(s);
	set_done(&set);
}

static void a_page_of_another_task_is_one_with_it(void **state)
{
	const struct page_map *a, *b;
	struct page_store *s;
	struct set set;

	set_new(&set, 2);
	PUT(&set.dir[0], 1, {0, 20, PE_PRESENT, 1});
	PUT(&set.dir[0], 2, {5, 10, PE_COW, 1}, {15, 1, PE_PRESENT, 2});
	/* The owner's own page is in the parent; another one's is one's own owner's there. */
	PUT(&set.dir[1], 1, {0, 10, PE_PARENT}, {10, 5, PE_PRESENT, 3});
	PUT(&set.dir[1], 2, {2, 5, PE_COW, 1}, {7, 2, PE_PARENT}, {10, 2, PE_COW, 1},
	    {15, 1, PE_PARENT});
	s = open_store(last(&set));
	a = map_of(s, IMG_PAGEMAP, 1);
	b = map_of(s, IMG_PAGEMAP, 2);
	EXPECT(b, {2, 7, 0, 1}, {10, 2, 0, 3}, {15, 1, 0, 2});
	assert_ptr_equal(b->pieces[0].src, a->pieces[0].src + 2 * PAGE);
	assert_ptr_equal(b->pieces[1].src, a->pieces[1].src);
	page_store_close(s);
	set_done(&set);
}

static void an_owner_that_refers_to_others_is_refused(void **state)
{
	struct err err;
	struct set set;

	set_new(&set, 1);
	PUT(last(&set), 1, {0, 1, PE_PRESENT, 1});
	PUT(last(&set), 2, {0, 1, PE_COW, 1});
	PUT(last(&set), 3, {0, 1, PE_COW, 2});
	PUT(last(&set), 4, {0, 1, PE_COW, 4});
	PUT(last(&set), 5, {3, 1, PE_COW, 1});
	PUT(last(&set), 6, {0, 1, PE_COW, 9});
	PUT_SHMEM(last(&set), 1, {0, 1, PE_COW, 1});
	err = err_of(last(&set), IMG_PAGEMAP, 3);
	assert_text(&err, "pagemap-2.img: page at 0: flags");
	err = err_of(last(&set), IMG_PAGEMAP, 4);
	assert_text(&err, "pagemap-4.img: page at 0: flags");
	err = err_of(last(&set), IMG_PAGEMAP, 5);
	assert_text(&err, "pagemap-5.img: page at 0x3000 is neither here nor in pagemap-1.img");
	err = err_of(last(&set), IMG_PAGEMAP, 6);
	assert_text(&err, "neither here nor in pagemap-9.img");
	err = err_of(last(&set), IMG_PAGEMAP_SHMEM, 1);
	assert_text(&err, "pagemap-shmem-1.img: page at 0: flags");
	set_done(&set);
}

/* ------------------------------------------------------------------ the link */

static void expect_link(const struct img_dir *dir, const char *target)
{
	char text[64];
	ssize_t n = readlinkat(dir->fd, "parent", text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, target);
}

static void the_link_is_relative_to_the_images(void **state)
{
	struct err err = ERR_INIT;
	struct set set;

	set_new(&set, 3);
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_ok(parent_link(&set.dir[2], "../1/", &err));
	expect_link(&set.dir[2], "../1/");
	/* One that is there is kept. */
	assert_ok(parent_link(&set.dir[2], "../0", &err));
	expect_link(&set.dir[2], "../1/");
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_ok(parent_link(&set.dir[2], set.dir[0].path, &err));
	expect_link(&set.dir[2], set.dir[0].path);
	set_done(&set);
}

static void a_link_to_nothing_is_not_made(void **state)
{
	static const char *const wrong[] = {"../9", "../1/inventory.img", ".", "../0/../0/", ""};
	struct stat st;
	struct set set;

	set_new(&set, 2);
	unlinkat(set.dir[0].fd, "parent", 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err err = ERR_INIT;

		assert_true(parent_link(&set.dir[0], wrong[i], &err) < 0);
		assert_text(&err, "--prev-images-dir");
		assert_true(err.hint[0]);
		assert_true(fstatat(set.dir[0].fd, "parent", &st, AT_SYMLINK_NOFOLLOW) < 0);
	}
	set_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_dump_is_a_chain_of_one),
		cmocka_unit_test(runs_are_split_and_joined_down_the_chain),
		cmocka_unit_test(a_page_of_another_task_is_one_with_it),
		cmocka_unit_test(an_owner_that_refers_to_others_is_refused),
		cmocka_unit_test(the_link_is_relative_to_the_images),
		cmocka_unit_test(a_link_to_nothing_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
