/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is one record with the list, and the CRC32C of all bytes before it, so that it is itself
 * protected. It names the run of the inventory it belongs to: CRIU may dump into a directory that
 * torpor has used, and leaves files that it doesn't know.
 */
#include "image/sums.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/log.h"
#include "base/vec.h"
#include "image/check_each.h"
#include "image/kinds.h"
#include "image/page_sums.h"
#include "image/schema/integrity.pb-c.h"
#include "image/schema/inventory.pb-c.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define BUF_LEN	      (64u * 1024)
#define INVENTORY_MAX (64 << 10)

struct img_sums {
	pthread_mutex_t lock; /* of the list, for writers */
	VEC(struct img_sum) list;
	/* Names to places in the list + 1; 0 is free. Built by img_sums_read. */
	uint32_t *index;
	size_t index_size;	 /* a power of two */
	struct page_sums *pages; /* page_sums.h; NULL until there is a page */
};

/* ------------------------------------------------------------------ list */

struct img_sums *img_sums_new(void)
{
	struct img_sums *s = xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void img_sums_free(struct img_sums *s)
{
	if (!s)
		return;
	page_sums_free(s->pages);
	pthread_mutex_destroy(&s->lock);
	vec_done(&s->list);
	free(s->index);
	free(s);
}

void img_sums_note(struct img_sums *s, const struct img_sum *sum)
{
	pthread_mutex_lock(&s->lock);
	*vec_push(&s->list) = *sum;
	pthread_mutex_unlock(&s->lock);
}

struct page_sums **img_sums_pages(struct img_sums *s)
{
	return &s->pages;
}

bool img_sums_known(const struct img_sums *s)
{
	return s && s->index;
}

/* The slot of a name: its own, or the free one where it belongs. */
static size_t slot_of(const struct img_sums *s, const char *name)
{
	size_t at = crc32c(0, name, strlen(name)) & (s->index_size - 1);

	while (s->index[at] && strcmp(s->list.data[s->index[at] - 1].name, name) != 0)
		at = (at + 1) & (s->index_size - 1);
	return at;
}

struct img_sum *img_sums_find(struct img_sums *s, const char *name)
{
	uint32_t place = s->index[slot_of(s, name)];

	return place ? &s->list.data[place - 1] : NULL;
}

static void make_index(struct img_sums *s)
{
	s->index_size = 16;
	while (s->index_size < 2 * s->list.len)
		s->index_size *= 2;
	s->index = xcalloc(s->index_size, sizeof(*s->index));
	for (size_t i = 0; i < s->list.len; i++)
		s->index[slot_of(s, s->list.data[i].name)] = (uint32_t)i + 1;
}

int img_sums_of_fd(int fd, uint64_t size, uint32_t *ret)
{
	auto_free uint8_t *buf = xcalloc(1, BUF_LEN);

	*ret = 0;
	for (uint64_t at = 0; at < size; at += BUF_LEN) {
		size_t n = (size_t)MIN(size - at, (uint64_t)BUF_LEN);

		TRY(io_pread_full(fd, buf, n, at));
		*ret = crc32c(*ret, buf, n);
	}
	return 0;
}

/* ----------------------------------------------------------------- write */

/* The inventory as it is in the directory; NULL if there is none. */
static int read_inventory(const struct img_dir *dir, struct arena *a, InventoryEntry **ret,
			  struct err *err)
{
	const struct img_dir plain = {.fd = dir->fd, .work_fd = dir->work_fd, .path = dir->path};

	*ret = NULL;
	return img_read_opt(&plain, IMG_INVENTORY, 0, a, ret, err);
}

static const char *run_id_of(const InventoryEntry *inventory)
{
	return inventory && inventory->dump_criu_run_id ? inventory->dump_criu_run_id : "";
}

static void fill_entry(const struct img_sums *s, IntegrityEntry *e, struct arena *a)
{
	e->n_images = s->list.len;
	e->images = arena_array_of(a, ImageSum *, s->list.len);
	for (size_t i = 0; i < s->list.len; i++) {
		ImageSum *sum = arena_new_of(a, ImageSum);

		image_sum__init(sum);
		sum->name = s->list.data[i].name;
		sum->size = s->list.data[i].size;
		sum->has_crc32c = s->list.data[i].has_crc;
		sum->crc32c = s->list.data[i].crc;
		e->images[i] = sum;
	}
}

static int write_list(const struct img_dir *dir, const IntegrityEntry *e, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;
	uint32_t crc;

	TRY(img_create(dir, IMG_INTEGRITY, 0, &w, err));
	TRY(img_put(w, &e->base, err));
	crc = img_writer_crc(w);
	TRY(img_put_raw(w, &crc, sizeof(crc), err));
	return img_close(TAKE_PTR(w), err);
}

int img_sums_write(const struct img_dir *dir, struct err *err)
{
	IntegrityEntry e = INTEGRITY_ENTRY__INIT;
	struct arena *a;
	InventoryEntry *inventory;
	int r;

	if (!dir->sums)
		return 0;
	TRY(page_sums_wait(dir, err));
	a = arena_new();
	r = read_inventory(dir, a, &inventory, err);
	if (r >= 0) {
		e.run_id = (char *)run_id_of(inventory);
		fill_entry(dir->sums, &e, a);
		r = write_list(dir, &e, err);
	}
	arena_free(a);
	return r;
}

/* ------------------------------------------------------------------ read */

static int damaged(const char *what, struct err *err)
{
	err_input(err, "integrity.img: %s", what);
	return err_hint(err, "copy the images again, whole, or take another dump; --no-verify "
			     "restores without comparing checksums");
}

static int take_sum(struct img_sums *s, const ImageSum *e, struct err *err)
{
	struct img_sum sum = {.size = e->size, .has_crc = e->has_crc32c, .crc = e->crc32c};

	if (strlen(e->name) >= sizeof(sum.name))
		return damaged("a name is too long", err);
	memcpy(sum.name, e->name, strlen(e->name));
	img_sums_note(s, &sum);
	return 0;
}

/* 1: the list is there and sound. */
static int read_list(const struct img_dir *dir, struct arena *a, IntegrityEntry **ret,
		     struct err *err)
{
	const struct img_dir plain = {.fd = dir->fd, .work_fd = dir->work_fd, .path = dir->path};
	auto_img_reader struct img_reader *r = NULL;
	uint32_t want, crc;
	int got;

	TRY(img_open(&plain, IMG_INTEGRITY, 0, &r, err));
	if (!r)
		return 0;
	got = img_get(r, a, ret, err);
	if (got <= 0)
		return got < 0 ? got : damaged("truncated", err);
	TRY(img_reader_crc(r, &crc, err));
	TRY(img_get_raw(r, &want, sizeof(want), err));
	if (crc != want || img_left(r))
		return damaged("it is damaged", err);
	return 1;
}

static bool is_as_listed(const struct img_dir *dir, const struct img_sum *sum)
{
	auto_close int fd =
		openat(dir->fd, sum->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	uint32_t crc;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == sum->size &&
	       (!sum->has_crc || (img_sums_of_fd(fd, sum->size, &crc) == 0 && crc == sum->crc));
}

/* Would the inventory be the listed one if it had the list's run id, wherever that stands in it? */
static bool only_run_id_differs(const struct img_dir *dir, const struct img_sum *inventory,
				const char *run_id)
{
	auto_free char *bytes = NULL, *changed = NULL;
	size_t size, len = strlen(run_id);
	struct stat st;

	if (fstatat(dir->fd, inventory->name, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != inventory->size || st.st_size > INVENTORY_MAX)
		return false;
	if (io_read_file(dir->fd, inventory->name, &bytes, &size) < 0 || size != inventory->size)
		return false;
	changed = xcalloc(1, size);
	for (size_t at = 0; at + len <= size; at++) {
		memcpy(changed, bytes, size);
		memcpy(changed + at, run_id, len);
		if (crc32c(0, changed, size) == inventory->crc)
			return true;
	}
	return false;
}

/* Just the inventory isn't as it is listed. */
static bool all_others_are_as_listed(const struct img_dir *dir, const struct img_sum *inventory)
{
	const struct img_sums *s = dir->sums;
	size_t alike = 0;

	for (size_t i = 0; i < s->list.len; i++)
		alike += is_as_listed(dir, &s->list.data[i]);
	return alike && alike + 1 == s->list.len && !is_as_listed(dir, inventory);
}

/*
 * The list names another run than the inventory. Either these are the images of somebody who
 * doesn't know of the list, in a directory that we once used. Or they are ours, and it is the
 * inventory that has changed.
 */
static int disown_list(const struct img_dir *dir, const char *run_id, struct err *err)
{
	struct img_sums *s = dir->sums;
	const struct img_sum *inventory = img_sums_find(s, "inventory.img");

	if (inventory && (only_run_id_differs(dir, inventory, run_id) ||
			  all_others_are_as_listed(dir, inventory))) {
		err_input(err, "inventory.img: has changed since it was dumped");
		return err_hint(err, "copy the images again, whole, or take another dump; "
				     "--no-verify restores without comparing checksums");
	}
	free(TAKE_PTR(s->index));
	s->list.len = 0;
	log_warn("integrity.img is of another dump than inventory.img: not used");
	return 0;
}

static int take_list(struct img_sums *s, const IntegrityEntry *e, struct err *err)
{
	for (size_t i = 0; i < e->n_images; i++)
		TRY(take_sum(s, e->images[i], err));
	make_index(s);
	return 0;
}

static int read_sums(const struct img_dir *dir, struct arena *a, struct err *err)
{
	IntegrityEntry *e;
	InventoryEntry *inventory;
	int got = read_list(dir, a, &e, err);

	if (got <= 0)
		return got;
	/* First: who lists all problems goes on with the list, whatever the inventory is like. */
	TRY(take_list(dir->sums, e, err));
	TRY(read_inventory(dir, a, &inventory, err));
	if (inventory && strcmp(e->run_id, run_id_of(inventory)) != 0)
		return disown_list(dir, e->run_id, err);
	return 0;
}

int img_sums_read(const struct img_dir *dir, struct err *err)
{
	struct arena *a;
	int r;

	if (!dir->sums || img_sums_known(dir->sums))
		return 0;
	a = arena_new();
	r = read_sums(dir, a, err);
	arena_free(a);
	return r;
}

/* What is wrong with a file that the dump wrote: NULL, or the end of a sentence about it. */
static const char *fault_of(const struct img_dir *dir, const struct img_sum *sum)
{
	struct stat st;

	if (fstatat(dir->fd, sum->name, &st, 0) < 0)
		return "missing";
	if ((uint64_t)st.st_size < sum->size)
		return "was cut off since it was dumped";
	if ((uint64_t)st.st_size > sum->size)
		return "has grown since it was dumped";
	return is_as_listed(dir, sum) ? NULL : "has changed since it was dumped";
}

void img_sums_each_wrong(const struct img_dir *dir, image_problem_fn *fn, void *arg)
{
	if (!img_sums_known(dir->sums))
		return;
	vec_foreach (sum, &dir->sums->list) {
		const char *fault = fault_of(dir, sum);
		struct err err = ERR_INIT;

		if (fault && err_input(&err, "%s: %s", sum->name, fault) < 0 &&
		    err_hint(&err, "copy the images again, whole, or take another dump") < 0)
			fn(arg, &err);
	}
}

int img_sums_remove(const struct img_dir *dir, struct err *err)
{
	if (unlinkat(dir->fd, "integrity.img", 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "integrity.img: remove the old one");
	return 0;
}
