/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is one record with the list, and the CRC-32 of all bytes before it, so that it is itself
 * protected. It names the run of the inventory it belongs to: CRIU may dump into a directory that
 * torpor has used, and leaves files that it doesn't know.
 */
#include "image/sums.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/vec.h"
#include "image/kinds.h"
#include "image/schema/integrity.pb-c.h"
#include "image/schema/inventory.pb-c.h"

#include <fcntl.h>
#include <string.h>

#define CRC_POLY UINT32_C(0xedb88320) /* reflected */

struct img_sums {
	VEC(struct img_sum) list;
	/* Names to places in the list + 1; 0 is free. Built by img_sums_read. */
	uint32_t *index;
	size_t index_size; /* a power of two */
	/* Slicing by 8: table[k][b] is what byte b does k bytes further on. */
	uint32_t crc[8][256];
};

/* ------------------------------------------------------------------- crc */

static void make_crc_table(uint32_t t[8][256])
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t c = b;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ (c & 1 ? CRC_POLY : 0);
		t[0][b] = c;
	}
	for (size_t b = 0; b < 256; b++)
		for (size_t k = 1; k < 8; k++)
			t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
}

uint32_t img_sums_crc(const struct img_sums *s, uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t c = ~crc;

	for (; len >= 8; len -= 8, p += 8) {
		uint32_t lo = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
				   (uint32_t)p[3] << 24);

		c = s->crc[7][lo & 0xff] ^ s->crc[6][lo >> 8 & 0xff] ^ s->crc[5][lo >> 16 & 0xff] ^
		    s->crc[4][lo >> 24] ^ s->crc[3][p[4]] ^ s->crc[2][p[5]] ^ s->crc[1][p[6]] ^
		    s->crc[0][p[7]];
	}
	for (; len; len--)
		c = (c >> 8) ^ s->crc[0][(c ^ *p++) & 0xff];
	return ~c;
}

/* ------------------------------------------------------------------ list */

struct img_sums *img_sums_new(void)
{
	struct img_sums *s = xcalloc(1, sizeof(*s));

	make_crc_table(s->crc);
	return s;
}

void img_sums_free(struct img_sums *s)
{
	if (!s)
		return;
	vec_done(&s->list);
	free(s->index);
	free(s);
}

void img_sums_note(struct img_sums *s, const struct img_sum *sum)
{
	*vec_push(&s->list) = *sum;
}

bool img_sums_known(const struct img_sums *s)
{
	return s && s->index;
}

/* The slot of a name: its own, or the free one where it belongs. */
static size_t slot_of(const struct img_sums *s, const char *name)
{
	size_t at = img_sums_crc(s, 0, name, strlen(name)) & (s->index_size - 1);

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
		sum->has_crc32 = s->list.data[i].has_crc;
		sum->crc32 = s->list.data[i].crc;
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
	return err_hint(err, "copy the images again, whole, or take another dump");
}

static int take_sum(struct img_sums *s, const ImageSum *e, struct err *err)
{
	struct img_sum sum = {.size = e->size, .has_crc = e->has_crc32, .crc = e->crc32};

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
	TRY(img_reader_crc(r, dir->sums, &crc, err));
	TRY(img_get_raw(r, &want, sizeof(want), err));
	if (crc != want || img_left(r))
		return damaged("it is damaged", err);
	return 1;
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
	TRY(read_inventory(dir, a, &inventory, err));
	if (inventory && strcmp(e->run_id, run_id_of(inventory)) != 0) {
		log_warn("integrity.img is of another dump than inventory.img: not used");
		return 0;
	}
	return take_list(dir->sums, e, err);
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

int img_sums_remove(const struct img_dir *dir, struct err *err)
{
	if (unlinkat(dir->fd, "integrity.img", 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "integrity.img: remove the old one");
	return 0;
}
