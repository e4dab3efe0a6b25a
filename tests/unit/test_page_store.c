/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of images: which bytes are whose page, and which chains are refused. */
#include "image/store.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "base/io.h"
#include "image/inventory.h"
#include "image/parent.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/inventory.pb-c.h"
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

/* The last one is a dump, the others are pre-dumps. parent_run -1: none. */
static void write_inventory_as(struct set *s, int i, int run, int parent_run)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct inventory_chain chain = {.cow = true};
	struct err err = ERR_INIT;

	snprintf(chain.run_id, sizeof(chain.run_id), "%s", run_id_of(run));
	if (parent_run >= 0)
		snprintf(chain.parent_run_id, sizeof(chain.parent_run_id), "%s",
			 run_id_of(parent_run));
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
		write_inventory_as(s, i, i, i - 1);
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
	page_map_drop(m);
	page_map_drop(NULL);
	m = map_of(s, IMG_PAGEMAP, 1);
	EXPECT(m, {10, 4, 0, 7}, {20, 512, 0, 8, true});
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

static void shared_objects_have_chains_too(void **state)
{
	struct page_store *s;
	struct set set;

	set_new(&set, 3);
	PUT_SHMEM(&set.dir[0], 77, {0, 50, PE_PRESENT, 1});
	PUT_SHMEM(&set.dir[1], 77, {0, 20, PE_PARENT}, {20, 1, PE_PRESENT, 2}, {21, 29, PE_PARENT});
	PUT_SHMEM(&set.dir[2], 77, {10, 20, PE_PARENT});
	/* A task of the same number is something else. */
	PUT(&set.dir[1], 77, {10, 20, PE_PRESENT, 9});
	s = open_store(last(&set));
	EXPECT(map_of(s, IMG_PAGEMAP_SHMEM, 77), {10, 10, 0, 1}, {20, 1, 0, 2}, {21, 9, 0, 1});
	page_store_close(s);
	set_done(&set);
}

/* Where it was huge when it was dumped counts, not when its bytes were written. */
static void huge_is_what_the_newest_images_say(void **state)
{
	struct page_store *s;
	struct set set;

	set_new(&set, 2);
	PUT(&set.dir[0], 1, {0, 512, PE_PRESENT, 1, true}, {512, 512, PE_PRESENT, 1});
	PUT(&set.dir[1], 1, {0, 512, PE_PARENT}, {512, 512, PE_PARENT, 0, true});
	s = open_store(last(&set));
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 512, 0, 1}, {512, 512, 0, 1, true});
	page_store_close(s);
	set_done(&set);
}

/* ------------------------------------------------------------- broken chains */

static struct err err_of_1(const struct set *s)
{
	return err_of(last(s), IMG_PAGEMAP, 1);
}

static void a_page_that_is_nowhere_is_named(void **state)
{
	struct err err;
	struct set set;

	set_new(&set, 3);
	PUT(&set.dir[0], 1, {0, 10, PE_PRESENT, 1});
	PUT(&set.dir[1], 1, {0, 11, PE_PARENT});
	PUT(&set.dir[2], 1, {5, 7, PE_PARENT});
	err = err_of_1(&set);
	assert_text(&err, "pagemap-1.img: page at 0xa000");
	assert_text(&err, set.dir[0].path);
	/* Nobody needs it: nobody cares. */
	PUT(&set.dir[2], 1, {5, 5, PE_PARENT});
	page_store_close(open_store(last(&set)));
	unlinkat(set.dir[1].fd, "pagemap-1.img", 0);
	err = err_of_1(&set);
	assert_text(&err, "pagemap-1.img: page at 0x5000");
	assert_text(&err, set.dir[1].path);
	unlinkat(set.dir[2].fd, "parent", 0);
	err = err_of_1(&set);
	assert_text(&err, "has no 'parent'");
	assert_text(&err, set.dir[2].path);
	set_done(&set);
}

static void a_lazy_page_is_refused_where_it_is_needed(void **state)
{
	struct page_store *s;
	struct err err;
	struct set set;

	set_new(&set, 2);
	PUT(&set.dir[0], 1, {0, 1, PE_PRESENT, 1}, {1, 1, PE_LAZY});
	PUT(&set.dir[1], 1, {0, 2, PE_PARENT});
	err = err_of_1(&set);
	assert_text(&err, "page at 0x1000 was left to a lazy-pages server");
	assert_text(&err, set.dir[0].path);
	PUT(&set.dir[1], 1, {0, 1, PE_PARENT});
	s = open_store(last(&set));
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 1, 0, 1});
	page_store_close(s);
	set_done(&set);
}

/* A link that nothing needs may lead anywhere; one that is needed is named with its target. */
static void a_missing_parent_is_named_when_it_is_needed(void **state)
{
	struct page_store *s;
	struct err err;
	struct set set;

	set_new(&set, 3);
	PUT(&set.dir[2], 1, {0, 1, PE_PRESENT, 1});
	PUT(&set.dir[2], 2, {0, 1, PE_PARENT});
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_int_equal(symlinkat("../gone", set.dir[2].fd, "parent"), 0);
	s = open_store(last(&set));
	assert_int_equal(page_store_depth(s), 1);
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 1, 0, 1});
	page_store_close(s);
	err = err_of(last(&set), IMG_PAGEMAP, 2);
	assert_text(&err, "pagemap-2.img: page at 0 ");
	assert_text(&err, set.dir[2].path);
	assert_text(&err, "/parent: leads to ../gone: No such file");
	set_done(&set);
}

/* As a dump does that has written just the inventory. */
static void write_sums(const struct img_dir *dir)
{
	struct img_dir with_sums = *dir;
	struct inventory_chain chain = {.run_id = "00000000-0000-4000-8000-000000000000"};
	struct err err = ERR_INIT;

	with_sums.sums = img_sums_new();
	assert_ok(inventory_write_pre_dump(&with_sums, &chain, &err));
	assert_ok(img_sums_write(&with_sums, &err));
	img_sums_free(with_sums.sums);
}

static void an_unfinished_parent_is_named(void **state)
{
	struct err err;
	struct set set;

	set_new(&set, 3);
	PUT(&set.dir[0], 1, {0, 1, PE_PRESENT, 1});
	PUT(&set.dir[1], 1, {0, 1, PE_PARENT});
	PUT(&set.dir[2], 1, {0, 1, PE_PARENT});
	unlinkat(set.dir[0].fd, "inventory.img", 0);
	err = err_of_1(&set);
	assert_text(&err, set.dir[1].path);
	assert_text(&err, "/parent: leads to ../0: there is no inventory.img");
	/* Nor with checksums, to which it is missing. */
	unlinkat(set.dir[0].fd, "pagemap-1.img", 0);
	write_inventory_as(&set, 0, 0, -1);
	write_sums(&set.dir[0]);
	unlinkat(set.dir[0].fd, "inventory.img", 0);
	set.dir[2].sums = img_sums_new();
	err = err_of_1(&set);
	assert_text(&err, "/parent: leads to ../0: there is no inventory.img");
	img_sums_free(set.dir[2].sums);
	set.dir[2].sums = NULL;
	unlinkat(set.dir[2].fd, "inventory.img", 0);
	err = err_of_1(&set);
	assert_text(&err, "there is no inventory.img");
	assert_text(&err, set.dir[2].path);
	set_done(&set);
}

static void foreign_images_are_named(void **state)
{
	struct err err;
	struct set set;

	set_new(&set, 4);
	PUT(last(&set), 1, {0, 1, PE_PRESENT, 1});
	page_store_close(open_store(last(&set)));
	/* In the middle: all that is right but the order. */
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_int_equal(symlinkat("../0", set.dir[2].fd, "parent"), 0);
	err = err_of_1(&set);
	assert_text(&err, set.dir[0].path);
	assert_text(&err, set.dir[2].path);
	assert_text(&err, run_id_of(1));
	/* Dumped again since. */
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_int_equal(symlinkat("../1", set.dir[2].fd, "parent"), 0);
	write_inventory_as(&set, 1, 5, 0);
	err = err_of_1(&set);
	assert_text(&err, set.dir[1].path);
	assert_text(&err, run_id_of(5));
	set_done(&set);
}

static void a_loop_is_named(void **state)
{
	struct err err;
	struct set set;

	set_new(&set, 3);
	PUT(last(&set), 1, {0, 1, PE_PARENT});
	assert_int_equal(symlinkat("../2", set.dir[0].fd, "parent"), 0);
	err = err_of_1(&set);
	assert_text(&err, set.dir[2].path);
	assert_text(&err, set.dir[0].path);
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_int_equal(symlinkat(".", set.dir[2].fd, "parent"), 0);
	err = err_of_1(&set);
	assert_text(&err, "leads back");
	/* To itself as a link. */
	unlinkat(set.dir[2].fd, "parent", 0);
	assert_int_equal(symlinkat("parent", set.dir[2].fd, "parent"), 0);
	err = err_of_1(&set);
	assert_text(&err, "Too many levels");
	set_done(&set);
}

static void chains_move_as_a_whole(void **state)
{
	struct page_store *s;
	struct set set;
	char *moved;

	set_new(&set, 3);
	PUT(&set.dir[0], 1, {0, 9, PE_PRESENT, 1});
	PUT(&set.dir[1], 1, {0, 9, PE_PARENT});
	PUT(&set.dir[2], 1, {0, 9, PE_PARENT});
	assert_true(asprintf(&moved, "%s-moved", set.top.path) > 0);
	assert_int_equal(rename(set.top.path, moved), 0);
	free((char *)set.top.path);
	set.top.path = moved;
	for (int i = 0; i < set.n; i++) {
		close(set.dir[i].fd);
		open_dir(&set, i);
	}
	s = open_store(last(&set));
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 9, 0, 1});
	page_store_close(s);
	set_done(&set);
}

/* ------------------------------------------------------------ images of CRIU */

struct entry {
	uint64_t page;
	int64_t n;	 /* nr_pages; -1: absent */
	uint32_t compat; /* compat_nr_pages */
	int64_t flags;	 /* -1: absent */
	bool in_parent;
};

/* As their writer puts them; `npages` zero bytes of pages, filled with the seed. */
static void put_entries(const struct img_dir *dir, uint64_t id, const struct entry *e, size_t n,
			const struct run *pages)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct img_writer *w;
	struct err err = ERR_INIT;
	char name[IMG_NAME_MAX];
	uint64_t off = 0;

	head.pages_id = (uint32_t)id + 0x100;
	assert_ok(img_create(dir, IMG_PAGEMAP, id, &w, &err));
	assert_ok(img_put(w, &head.base, &err));
	for (size_t i = 0; i < n; i++) {
		PagemapEntry m = PAGEMAP_ENTRY__INIT;

		m.vaddr = e[i].page * PAGE;
		m.compat_nr_pages = e[i].compat;
		m.has_nr_pages = e[i].n >= 0;
		m.nr_pages = (uint64_t)e[i].n;
		m.has_flags = e[i].flags >= 0;
		m.flags = (uint32_t)e[i].flags;
		m.has_in_parent = m.in_parent = e[i].in_parent;
		assert_ok(img_put(w, &m.base, &err));
	}
	assert_ok(img_close(w, &err));
	snprintf(name, sizeof(name), "pages-%" PRIu32 ".img", head.pages_id);
	sample_write(dir->fd, name, "", 0);
	{
		auto_close int fd = openat(dir->fd, name, O_WRONLY | O_CLOEXEC);

		for (; pages->n; off += pages->n * PAGE, pages++)
			write_pages(fd, pages, off);
	}
}

/* A pre-dump has an inventory of version 0, and no run id; the dump has one. */
static void write_criu_inventory(const struct img_dir *dir, bool pre_dump)
{
	InventoryEntry e = INVENTORY_ENTRY__INIT;
	PluginsEntry plugins = PLUGINS_ENTRY__INIT;
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	char run_id[] = "5b4b3b2b-1111-4222-8333-123456789abc";
	struct err err = ERR_INIT;

	e.has_dump_uptime = true;
	e.dump_uptime = 123456789;
	e.plugins_entry = &plugins;
	if (pre_dump) {
		e.has_pre_dump_mode = true;
		e.pre_dump_mode = 1;
	} else {
		e.img_version = 2;
		e.has_fdinfo_per_id = e.fdinfo_per_id = true;
		e.root_ids = &ids;
		e.dump_criu_run_id = run_id;
	}
	assert_ok(img_write_one(dir, IMG_INVENTORY, 0, &e.base, &err));
}

static void chains_of_criu_are_read(void **state)
{
	static const struct entry first[] = {
		{0, 8, 0, PE_PRESENT | PE_LAZY}, {8, 8, 0, PE_PRESENT}, {100, 4, 0, PE_PRESENT}};
	static const struct entry second[] = {{0, 3, 0, PE_PARENT},
					      {3, 2, 0, PE_PRESENT | PE_LAZY},
					      {5, 11, 0, PE_PARENT},
					      {100, 4, 0, PE_PARENT}};
	static const struct entry third[] = {
		{0, 16, 0, PE_PARENT}, {20, 2, 0, PE_PRESENT | PE_LAZY}, {101, 1, 0, PE_PARENT}};
	struct page_store *s;
	struct set set;

	set_new(&set, 3);
	for (int i = 0; i < 3; i++)
		write_criu_inventory(&set.dir[i], i < 2);
	put_entries(&set.dir[0], 1, first, ARRAY_SIZE(first),
		    (const struct run[]){{0, 16, 0, 1}, {100, 4, 0, 1}, {0}});
	put_entries(&set.dir[1], 1, second, ARRAY_SIZE(second),
		    (const struct run[]){{3, 2, 0, 2}, {0}});
	put_entries(&set.dir[2], 1, third, ARRAY_SIZE(third),
		    (const struct run[]){{20, 2, 0, 3}, {0}});
	s = open_store(last(&set));
	assert_int_equal(page_store_depth(s), 3);
	assert_false(page_store_knows_cow(s));
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 3, 0, 1}, {3, 2, 0, 2}, {5, 11, 0, 1}, {20, 2, 0, 3},
	       {101, 1, 0, 1});
	page_store_close(s);
	set_done(&set);
}

/* Before there were flags and 64-bit numbers. */
static void old_entries_are_read(void **state)
{
	static const struct entry first[] = {{0, -1, 8, -1, false}};
	static const struct entry second[] = {
		{0, -1, 2, -1, true}, {2, -1, 2, -1, false}, {4, -1, 4, -1, true}};
	struct page_store *s;
	struct set set;

	set_new(&set, 2);
	write_criu_inventory(&set.dir[0], true);
	write_criu_inventory(&set.dir[1], false);
	put_entries(&set.dir[0], 1, first, ARRAY_SIZE(first),
		    (const struct run[]){{0, 8, 0, 1}, {0}});
	put_entries(&set.dir[1], 1, second, ARRAY_SIZE(second),
		    (const struct run[]){{2, 2, 0, 2}, {0}});
	s = open_store(last(&set));
	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 2, 0, 1}, {2, 2, 0, 2}, {4, 4, 0, 1});
	page_store_close(s);
	set_done(&set);
}

/* --------------------------------------------------------------------- dedup */

static uint64_t blocks_of(const struct img_dir *dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir->fd, name, &st, 0), 0);
	return (uint64_t)st.st_blocks * 512;
}

static uint64_t dedup(const struct img_dir *dir)
{
	struct page_store *s = open_store(dir);
	struct err err = ERR_INIT;
	uint64_t freed;

	assert_ok(page_store_dedup(s, &freed, &err));
	page_store_close(s);
	return freed;
}

/* Three levels; the middle one gives back nothing that the lowest has for the newest. */
static void put_chain(struct set *set)
{
	set_new(set, 3);
	PUT(&set->dir[0], 1, {0, 64, PE_PRESENT, 1}, {100, 8, PE_PRESENT, 1});
	PUT(&set->dir[0], 2, {0, 64, PE_COW, 1}, {64, 8, PE_PRESENT, 2});
	PUT(&set->dir[0], 3, {0, 32, PE_PRESENT, 3}); /* has ended since */
	PUT_SHMEM(&set->dir[0], 9, {0, 16, PE_PRESENT, 4});
	PUT(&set->dir[1], 1, {0, 16, PE_PARENT}, {16, 16, PE_PRESENT, 5}, {32, 32, PE_PARENT});
	PUT(&set->dir[1], 2, {0, 72, PE_PARENT});
	PUT_SHMEM(&set->dir[1], 9, {0, 8, PE_PRESENT, 6}, {8, 8, PE_PARENT});
	PUT(&set->dir[2], 1, {0, 8, PE_PARENT}, {16, 8, PE_PARENT}, {24, 40, PE_PRESENT, 7});
	/* Task 2 keeps what task 1 has written anew. */
	PUT(&set->dir[2], 2, {8, 8, PE_PARENT}, {40, 4, PE_PARENT}, {70, 2, PE_PARENT});
	PUT_SHMEM(&set->dir[2], 9, {0, 2, PE_PARENT}, {15, 1, PE_PARENT});
}

static void expect_chain(const struct set *set)
{
	struct page_store *s = open_store(last(set));

	EXPECT(map_of(s, IMG_PAGEMAP, 1), {0, 8, 0, 1}, {16, 8, 0, 5}, {24, 40, 0, 7});
	EXPECT(map_of(s, IMG_PAGEMAP, 2), {8, 8, 0, 1}, {40, 4, 0, 1}, {70, 2, 0, 2});
	EXPECT(map_of(s, IMG_PAGEMAP_SHMEM, 9), {0, 2, 0, 6}, {15, 1, 0, 4});
	page_store_close(s);
}

static void dedup_keeps_what_is_reached(void **state)
{
	const uint64_t pages[] = {64 + 8 - 8 - 8 - 4, 8 - 2, 32, 16 - 1, 16 - 8, 8 - 2};
	uint64_t unused = 0;
	struct set set;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		unused += pages[i] * PAGE;
	put_chain(&set);
	expect_chain(&set);
	assert_int_equal(dedup(last(&set)), unused);
	expect_chain(&set);
	assert_int_equal(blocks_of(&set.dir[0], "pages-2.img"), 20 * PAGE);
	assert_int_equal(blocks_of(&set.dir[0], "pages-6.img"), 0); /* of task 3 */
	assert_int_equal(blocks_of(&set.dir[0], "pages-19.img"), PAGE);
	assert_int_equal(blocks_of(&set.dir[1], "pages-2.img"), 8 * PAGE);
	assert_int_equal(blocks_of(&set.dir[2], "pages-2.img"), 40 * PAGE);
	/* Again is harmless, as after an interruption. */
	assert_int_equal(dedup(last(&set)), 0);
	expect_chain(&set);
	set_done(&set);
}

/* Each pre-dump may do it for those before. */
static void dedup_at_every_step_keeps_the_rest_of_the_chain(void **state)
{
	struct set set;

	put_chain(&set);
	(void)dedup(&set.dir[1]);
	expect_chain(&set);
	(void)dedup(&set.dir[2]);
	expect_chain(&set);
	set_done(&set);
}

static void dedup_leaves_the_images_of_others_alone(void **state)
{
	uint64_t before[2];
	struct set set;

	put_chain(&set);
	/* A copy by hard links, and a file that is elsewhere. */
	assert_int_equal(linkat(set.dir[0].fd, "pages-2.img", set.dir[0].fd, "backup", 0), 0);
	assert_int_equal(renameat(set.dir[1].fd, "pages-2.img", set.top.fd, "elsewhere"), 0);
	assert_int_equal(symlinkat("../elsewhere", set.dir[1].fd, "pages-2.img"), 0);
	before[0] = blocks_of(&set.dir[0], "backup");
	before[1] = blocks_of(&set.top, "elsewhere");
	assert_true(dedup(last(&set)) > 0);
	assert_int_equal(blocks_of(&set.dir[0], "backup"), before[0]);
	assert_int_equal(blocks_of(&set.top, "elsewhere"), before[1]);
	expect_chain(&set);
	set_done(&set);
}

static void dedup_touches_nothing_if_a_page_is_missing(void **state)
{
	struct page_store *s;
	struct err err = ERR_INIT;
	uint64_t before, freed;
	struct set set;

	put_chain(&set);
	PUT(last(&set), 4, {0, 1, PE_PARENT});
	before = blocks_of(&set.dir[0], "pages-2.img");
	s = open_store(last(&set));
	assert_true(page_store_dedup(s, &freed, &err) < 0);
	assert_text(&err, "pagemap-4.img");
	page_store_close(s);
	assert_int_equal(blocks_of(&set.dir[0], "pages-2.img"), before);
	set_done(&set);
}

static void all_pages_can_be_given_back(void **state)
{
	struct page_store *s;
	struct err err = ERR_INIT;
	struct set set;

	put_chain(&set);
	s = open_store(last(&set));
	assert_ok(page_store_punch_all(s, &err));
	page_store_close(s);
	for (int i = 0; i < 3; i++)
		assert_int_equal(blocks_of(&set.dir[i], "pages-2.img"), 0);
	page_store_close(open_store(last(&set)));
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
		cmocka_unit_test(shared_objects_have_chains_too),
		cmocka_unit_test(huge_is_what_the_newest_images_say),
		cmocka_unit_test(a_page_that_is_nowhere_is_named),
		cmocka_unit_test(a_lazy_page_is_refused_where_it_is_needed),
		cmocka_unit_test(a_missing_parent_is_named_when_it_is_needed),
		cmocka_unit_test(an_unfinished_parent_is_named),
		cmocka_unit_test(foreign_images_are_named),
		cmocka_unit_test(a_loop_is_named),
		cmocka_unit_test(chains_move_as_a_whole),
		cmocka_unit_test(chains_of_criu_are_read),
		cmocka_unit_test(old_entries_are_read),
		cmocka_unit_test(dedup_keeps_what_is_reached),
		cmocka_unit_test(dedup_at_every_step_keeps_the_rest_of_the_chain),
		cmocka_unit_test(dedup_leaves_the_images_of_others_alone),
		cmocka_unit_test(dedup_touches_nothing_if_a_page_is_missing),
		cmocka_unit_test(all_pages_can_be_given_back),
		cmocka_unit_test(the_link_is_relative_to_the_images),
		cmocka_unit_test(a_link_to_nothing_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
