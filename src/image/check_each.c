/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All problems of a directory of images. In three passes, so that a wrong checksum doesn't hide
 * what is wrong: each file by itself, then what files say of each other, both without checksums;
 * then all checksums.
 */
#include "image/check_each.h"

#include "base/auto.h"
#include "base/map.h"
#include "base/parse.h"
#include "image/check_priv.h"
#include "image/inventory.h"
#include "image/kinds.h"
#include "image/sums.h"

#include <fcntl.h>
#include <string.h>

struct file {
	enum img_kind kind; /* IMG_KIND_MAX: not one of the table */
	uint64_t id;
	char name[IMG_NAME_MAX];
};

struct each {
	const struct img_dir *dir; /* without checksums */
	VEC(struct file) files;
	struct map told; /* hashes of texts */
	size_t nproblems;
	const struct image_listener *listener;
};

/* ---------------------------------------------------------------- problems */

static uint64_t hash_of(const char *s)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *s; s++)
		hash = (hash ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return hash;
}

/* Several passes see the same. */
static void tell(void *arg, const struct err *problem)
{
	struct each *e = arg;
	uint64_t hash = hash_of(problem->text);

	if (map_get(&e->told, hash) != MAP_NONE)
		return;
	map_put(&e->told, hash, 1);
	e->nproblems++;
	e->listener->problem(e->listener->arg, problem);
}

static void tell_progress(void *arg, const char *image, uint64_t done, uint64_t total)
{
	const struct image_listener *l = ((struct each *)arg)->listener;

	if (l->progress)
		l->progress(l->arg, image, done, total);
}

static void tell_and_forget(struct each *e, struct err *err)
{
	tell(e, err);
	*err = ERR_INIT;
}

/* ------------------------------------------------------------------- files */

static bool is_of_row(enum img_kind kind, const char *name, struct file *ret)
{
	const struct img_row *row = img_row(kind);
	const char *p = str_after(name, row->name);
	char same[IMG_NAME_MAX];

	ret->id = 0;
	if (!p)
		return false;
	if (row->key != IMG_KEY_NONE &&
	    (!scan_char(&p, '-') || !scan_u64(&p, row->key == IMG_KEY_HEX ? 16 : 10, &ret->id)))
		return false;
	img_name(kind, ret->id, same);
	ret->kind = kind;
	return strcmp(name, same) == 0;
}

static bool identify(const char *name, struct file *ret)
{
	if (strlen(name) >= IMG_NAME_MAX)
		return false;
	str_copy(ret->name, sizeof(ret->name), name);
	for (int kind = 0; kind < IMG_KIND_MAX; kind++)
		if (is_of_row((enum img_kind)kind, name, ret))
			return true;
	/* pages-1.img, sums-1.img, netns dumps: nothing to decode, but images. */
	ret->kind = IMG_KIND_MAX;
	return str_ends(name, ".img");
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static int list_files(struct each *e, struct err *err)
{
	int fd = openat(e->dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct file f;

	if (!d) {
		fd_close(fd);
		return err_sys(err, -errno, "%s: read the directory", e->dir->path);
	}
	for (struct dirent *entry; (entry = readdir(d));)
		if (identify(entry->d_name, &f))
			*vec_push(&e->files) = f;
	if (e->files.len)
		qsort(e->files.data, e->files.len, sizeof(f), compare_files);
	return 0;
}

/* ------------------------------------------------------------------ passes */

static void decode_all(struct each *e)
{
	struct err err = ERR_INIT;

	vec_foreach (f, &e->files)
		if (f->kind != IMG_KIND_MAX && check_decode(e->dir, f->kind, f->id, &err) < 0)
			tell_and_forget(e, &err);
}

/* Asks the store for the pages of all pagemaps of level 0, which follows them down the chain. */
static void follow_pages(struct each *e, struct page_store *store)
{
	const struct page_map *map;
	struct err err = ERR_INIT;

	vec_foreach (f, &e->files)
		if ((f->kind == IMG_PAGEMAP || f->kind == IMG_PAGEMAP_SHMEM) &&
		    page_store_map(store, f->kind, f->id, true, &map, &err) < 0)
			tell_and_forget(e, &err);
}

/* A pre-dump has memory only. */
static void check_pre_dump(struct each *e)
{
	struct page_store *store = NULL;
	struct err err = ERR_INIT;

	if (page_store_open(e->dir, &store, &err) < 0)
		tell_and_forget(e, &err);
	else
		follow_pages(e, store);
	page_store_close(store);
}

static void check_references(struct each *e, struct arena *a)
{
	struct check c = {.dir = e->dir, .a = a, .report = tell, .report_arg = e};
	struct inventory_chain chain;
	struct err err = ERR_INIT;
	int got = inventory_read_chain(e->dir, &chain, &err);

	if (got < 0)
		tell_and_forget(e, &err);
	if (got == 0) {
		err_input(&err, "%s: there is no inventory.img", e->dir->path);
		err_hint(&err, "a dump that failed or was killed leaves none");
		tell_and_forget(e, &err);
		return;
	}
	if (got > 0 && chain.pre_dump) {
		check_pre_dump(e);
		return;
	}
	if (check_all(&c, &err) < 0)
		tell_and_forget(e, &err);
	check_done(&c);
}

static void compare_led_pages(struct each *e, struct page_store *store)
{
	const struct image_listener l = {tell, tell_progress, e};

	/* Level 0 was looked at. */
	for (size_t i = 1; i < page_store_depth(store); i++)
		img_sums_each_wrong(page_store_dir(store, i), tell, e);
	follow_pages(e, store);
	page_store_each_wrong(store, &l);
}

static void compare_loose_pages(struct each *e, const struct img_dir *dir, struct page_store *store)
{
	vec_foreach (f, &e->files) {
		const char *p = str_after(f->name, "pages-");
		uint64_t id;

		if (p && scan_u64(&p, 10, &id) && id <= UINT32_MAX)
			check_loose_pages(dir, store, (uint32_t)id, f->name, tell, e);
	}
}

static void compare_pages(struct each *e, const struct img_dir *dir)
{
	struct page_store *store = NULL;
	struct err err = ERR_INIT;

	/* Without inventory (told already) no level can be opened. */
	if (faccessat(dir->fd, "inventory.img", F_OK, 0) == 0) {
		if (page_store_open(dir, &store, &err) < 0)
			tell_and_forget(e, &err);
		else
			compare_led_pages(e, store);
	}
	if (e->nproblems)
		compare_loose_pages(e, dir, store);
	page_store_close(store);
}

static void compare_sums(struct each *e)
{
	struct img_dir dir = *e->dir;
	struct err err = ERR_INIT;

	dir.sums = img_sums_new();
	if (img_sums_read(&dir, &err) < 0)
		tell_and_forget(e, &err);
	img_sums_each_wrong(&dir, tell, e);
	compare_pages(e, &dir);
	img_sums_free(dir.sums);
}

int image_check_each(const struct img_dir *dir, bool sums, const struct image_listener *l,
		     struct err *err)
{
	struct img_dir plain = *dir;
	struct each e = {.dir = &plain, .listener = l};
	int r;

	plain.sums = NULL;
	r = list_files(&e, err);
	if (r == 0) {
		struct arena *a = arena_new();

		decode_all(&e);
		check_references(&e, a);
		arena_free(a);
		if (sums)
			compare_sums(&e);
		r = (int)e.files.len;
	}
	vec_done(&e.files);
	map_done(&e.told);
	return r;
}
