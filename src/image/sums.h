/* SPDX-License-Identifier: Apache-2.0 */
/*
 * integrity.img: name, size and CRC32C of each image of a dump, in a file of torpor's own beside
 * them. The format itself has neither: an image that was cut off between two records is as valid as
 * a whole one, and a flipped bit in a register is a register. Images without this file, such as
 * CRIU's, are read without it.
 *
 * Memory pages, which the target writes itself, have a sum each, in side files of their own
 * (page_sums.h), so that just those are looked at that are used. Here only the size of a pages file
 * is noted, and the sum of its side file.
 *
 * `img_dir.sums` is what the writers note sums in, and what the readers compare with once
 * img_sums_read has found some. NULL: neither.
 */
#pragma once

#include "image/image.h"

struct img_sums;
struct img_sums *img_sums_new(void);
void img_sums_free(struct img_sums *s); /* accepts NULL */

/* After all other images, the inventory too. Does nothing if dir->sums is NULL. */
MUST_USE int img_sums_write(const struct img_dir *dir, struct err *err);
/*
 * Before any other image is read. From here on an image that isn't what the dump wrote is refused
 * when it is opened, and one that the dump didn't write is absent.
 */
MUST_USE int img_sums_read(const struct img_dir *dir, struct err *err);
/* The list made anew from the files that it names, after they were edited: 1; 0: there is none. */
MUST_USE int img_sums_reseal(const struct img_dir *dir, struct err *err);
/* An old one must not be taken for that of images which are being written now. */
MUST_USE int img_sums_remove(const struct img_dir *dir, struct err *err);

/* ---------------------------------------------- for readers and writers */

struct img_sum {
	char name[IMG_NAME_MAX];
	uint64_t size;
	bool has_crc, verified;
	uint32_t crc;
};

/* May be called by several threads. */
void img_sums_note(struct img_sums *s, const struct img_sum *sum);
/* Are there sums to compare with? Then NULL from img_sums_find says: not an image of this dump. */
bool img_sums_known(const struct img_sums *s);
struct img_sum *img_sums_find(struct img_sums *s, const char *name);
/* The CRC32C of the first `size` bytes of a file; negative errno. */
MUST_USE int img_sums_of_fd(int fd, uint64_t size, uint32_t *ret);
/* Where the sums of pages in the making hang: page_sums.c. */
struct page_sums **img_sums_pages(struct img_sums *s);
