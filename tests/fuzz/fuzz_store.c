/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of three directories whose pagemaps the input makes up, four bytes a run: each page of a
 * store must be what looking it up alone, page by page, comes to; a store that refuses must have a
 * page that can't be found. Afterwards the chain is deduplicated: what is reached stays, the rest
 * of the parents' pages is zero.
 */
#include "fuzz.h"

#include "base/auto.h"
#include "base/io.h"
#include "image/inventory.h"
#include "image/pages.h"
#include "image/schema/core.pb-c.h"
#include "image/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE UINT64_C(4096)

enum { LEVELS = 3, MAPS = 4, PAGES = 128, RUNS_MAX = 64 };
/* Maps 0 to 2 are tasks 1 to 3, map 3 is shared object 1. */
enum { SHMEM = 3 };

enum where { NOWHERE, PRESENT, PARENT, LAZY, COW };

/* One page of one pagemap. */
struct cell {
	enum where where;
	uint32_t owner;
	bool huge;
	uint64_t mark; /* PRESENT: the first word of its bytes */
	bool reached;
};

struct level {
	struct img_dir dir;
	char path[96];
	struct cell cells[MAPS][PAGES];
};

static struct level levels[LEVELS];

static enum img_kind kind_of(size_t map)
{
	return map == SHMEM ? IMG_PAGEMAP_SHMEM : IMG_PAGEMAP;
}

static uint64_t id_of(size_t map)
{
	return map == SHMEM ? 1 : map + 1;
}

/* ------------------------------------------------------------ directories */

static void remove_levels(void)
{
	for (size_t i = 0; i < LEVELS; i++) {
		DIR *d = fdopendir(levels[i].dir.fd);
		const struct dirent *e;

		while (d && (e = readdir(d)))
			unlinkat(dirfd(d), e->d_name, 0);
		if (d)
			closedir(d);
		rmdir(levels[i].path);
	}
}

static void write_inventory(size_t i)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct inventory_chain chain = {.cow = true, .pre_dump = i > 0};
	struct err err = ERR_INIT;

	snprintf(chain.run_id, sizeof(chain.run_id), "run-%zu", i);
	if (i + 1 < LEVELS)
		snprintf(chain.parent_run_id, sizeof(chain.parent_run_id), "run-%zu", i + 1);
	fuzz_assert((i ? inventory_write_pre_dump(&levels[i].dir, &chain, &err)
		       : inventory_write(&levels[i].dir, &ids, &chain, &err)) == 0);
}

static void make_levels(void)
{
	(void)fuzz_dir(); /* so that it is removed after what is in it */
	atexit(remove_levels);
	for (size_t i = 0; i < LEVELS; i++) {
		struct level *l = &levels[i];
		char parent[16];

		snprintf(l->path, sizeof(l->path), "%s/%zu", fuzz_dir()->path, i);
		fuzz_assert(mkdir(l->path, 0700) == 0);
		l->dir.path = l->path;
		l->dir.fd = open(l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fuzz_assert(l->dir.fd >= 0);
		l->dir.work_fd = l->dir.fd;
		snprintf(parent, sizeof(parent), "../%zu", i + 1);
		fuzz_assert(i + 1 == LEVELS || symlinkat(parent, l->dir.fd, "parent") == 0);
		write_inventory(i);
	}
}

/* --------------------------------------------------------- what is in them */

struct cursor {
	uint64_t next; /* page */
	uint64_t marks;
};

static void take_run(const uint8_t b[4], struct cursor at[LEVELS][MAPS])
{
	size_t level = (b[0] & 0xf) % LEVELS, map = (b[0] >> 4) % MAPS;
	struct cursor *c = &at[level][map];
	uint64_t first = c->next + (b[1] & 3), n = (b[1] >> 2) % 16 + 1;

	for (uint64_t p = first; p < first + n && p < PAGES; p++) {
		struct cell *cell = &levels[level].cells[map][p];

		cell->where = (enum where)(PRESENT + b[2] % 4);
		cell->owner = cell->where == COW ? b[3] % 4 + 1 : 0;
		cell->huge = b[3] & 0x80;
		if (cell->where == PRESENT)
			cell->mark = (level + 1) << 32 | (map + 1) << 16 | c->marks++;
	}
	c->next = first + n;
}

static const uint32_t flags_of[] = {
	[PRESENT] = PE_PRESENT, [PARENT] = PE_PARENT, [LAZY] = PE_LAZY, [COW] = PE_COW};

static void write_cell(struct pagemap_writer *w, uint64_t page, const struct cell *c)
{
	struct page_run run = {
		.vaddr = page * PAGE,
		.npages = 1,
		.flags = flags_of[c->where],
		.owner = c->owner,
		.huge = c->huge,
	};
	struct err err = ERR_INIT;
	uint64_t off;
	int fd;

	fuzz_assert(pagemap_add(w, &run, &off, &err) == 0);
	if (c->where != PRESENT)
		return;
	fd = pagemap_pages_fd(w, &err);
	fuzz_assert(fd >= 0 && io_pwrite_full(fd, &c->mark, sizeof(c->mark), off) == 0);
	fuzz_assert(ftruncate(fd, (off_t)(off + PAGE)) == 0);
}

static void write_map(size_t level, size_t map)
{
	const struct cell *cells = levels[level].cells[map];
	struct pagemap_writer *w;
	struct err err = ERR_INIT;

	fuzz_assert(pagemap_create(&levels[level].dir, kind_of(map), id_of(map), (uint32_t)map + 1,
				   &w, &err) == 0);
	for (uint64_t p = 0; p < PAGES; p++)
		if (cells[p].where)
			write_cell(w, p, &cells[p]);
	fuzz_assert(pagemap_close(w, &err) == 0);
}

/* -------------------------------------------------------------- the model */

/* NULL: it has no bytes anywhere. */
static struct cell *look_up(size_t level, size_t map, uint64_t page)
{
	bool lent = false;

	for (;;) {
		struct cell *c = level < LEVELS ? &levels[level].cells[map][page] : NULL;

		if (!c || c->where == NOWHERE || c->where == LAZY)
			return NULL;
		if (c->where == PRESENT)
			return c;
		if (c->where == COW) {
			if (lent || map == SHMEM || c->owner > SHMEM)
				return NULL;
			map = c->owner - 1;
		} else {
			level++;
		}
		lent = c->where == COW;
	}
}

static bool can_be_had(size_t map)
{
	for (uint64_t p = 0; p < PAGES; p++)
		if (levels[0].cells[map][p].where && !look_up(0, map, p))
			return false;
	return true;
}

static void check_pages(const struct page_map *m, size_t map)
{
	size_t i = 0;

	for (uint64_t p = 0; p < PAGES; p++) {
		const struct cell *c = &levels[0].cells[map][p];
		const struct page_piece *piece;
		struct cell *found;

		if (c->where == NOWHERE)
			continue;
		i = page_map_find(m, p * PAGE);
		fuzz_assert(i < m->n);
		piece = &m->pieces[i];
		fuzz_assert(piece->vaddr <= p * PAGE && piece->huge == c->huge);
		fuzz_assert(p * PAGE < piece->vaddr + piece->npages * PAGE);
		found = look_up(0, map, p);
		fuzz_assert(memcmp(piece->src + (p * PAGE - piece->vaddr), &found->mark,
				   sizeof(found->mark)) == 0);
		found->reached = true;
	}
}

static void check_map(const struct page_map *m, size_t map)
{
	uint64_t n = 0, in_pieces = 0, end = 0;

	for (uint64_t p = 0; p < PAGES; p++)
		n += levels[0].cells[map][p].where != NOWHERE;
	for (size_t i = 0; i < m->n; i++) {
		fuzz_assert(m->pieces[i].vaddr >= end);
		end = m->pieces[i].vaddr + m->pieces[i].npages * PAGE;
		in_pieces += m->pieces[i].npages;
	}
	fuzz_assert(n == m->npages && n == in_pieces);
	check_pages(m, map);
}

static void check_maps(struct page_store *s, bool all_can)
{
	for (size_t map = 0; map < MAPS; map++) {
		const struct page_map *m;
		struct err err = ERR_INIT;
		int r = page_store_map(s, kind_of(map), id_of(map), false, &m, &err);

		fuzz_assert((r == 0) == can_be_had(map));
		fuzz_assert(r == 0 ? !err.code : err.kind == ERR_INPUT && err.hint[0]);
		fuzz_assert(r == 0 || strstr(err.text, "pagemap-"));
		fuzz_assert(r == 0 || !all_can);
		if (r == 0)
			check_map(m, map);
	}
}

/* --------------------------------------------------------------- afterwards */

static void check_holes(size_t level, size_t map)
{
	char name[IMG_NAME_MAX];
	auto_close int fd = -EBADF;
	uint64_t off = 0, mark;

	snprintf(name, sizeof(name), "pages-%zu.img", map + 1);
	fd = openat(levels[level].dir.fd, name, O_RDONLY | O_CLOEXEC);
	for (uint64_t p = 0; p < PAGES; p++) {
		const struct cell *c = &levels[level].cells[map][p];

		if (c->where != PRESENT)
			continue;
		fuzz_assert(io_pread_full(fd, &mark, sizeof(mark), off) == 0);
		fuzz_assert(mark == (level == 0 || c->reached ? c->mark : 0));
		off += PAGE;
	}
}

static void check_dedup(bool all_can)
{
	struct page_store *s;
	struct err err = ERR_INIT;
	uint64_t freed;
	int r;

	fuzz_assert(page_store_open(&levels[0].dir, &s, &err) == 0);
	fuzz_assert(page_store_depth(s) == LEVELS);
	r = page_store_dedup(s, &freed, &err);
	fuzz_assert((r == 0) == all_can);
	if (r == 0)
		check_maps(s, true);
	for (size_t i = 0; r == 0 && i < LEVELS; i++)
		for (size_t map = 0; map < MAPS; map++)
			check_holes(i, map);
	page_store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor at[LEVELS][MAPS] = {0};
	struct page_store *s;
	struct err err = ERR_INIT;
	bool all_can = true;

	if (!levels[0].path[0])
		make_levels();
	for (size_t i = 0; i < LEVELS; i++)
		memset(levels[i].cells, 0, sizeof(levels[i].cells));
	for (size_t i = 0; i < MIN(size / 4, (size_t)RUNS_MAX); i++)
		take_run(data + i * 4, at);
	for (size_t i = 0; i < LEVELS; i++)
		for (size_t map = 0; map < MAPS; map++)
			write_map(i, map);
	for (size_t map = 0; map < MAPS; map++)
		all_can &= can_be_had(map);
	fuzz_assert(page_store_open(&levels[0].dir, &s, &err) == 0);
	check_maps(s, all_can);
	page_store_close(s);
	check_dedup(all_can);
	return 0;
}
