/* SPDX-License-Identifier: Apache-2.0 */
/*
 * integrity.img: name, size and CRC-32 of each image of a dump, in a file of torpor's own beside
 * them. The format itself has neither: an image that was cut off between two records is as valid as
 * a whole one, and a flipped bit in a register is a register. Images without this file, such as
 * CRIU's, are read without it.
 *
 * Bytes that don't pass through torpor (memory pages, which the target writes itself, and large
 * ghost files) are compared by size only.
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
/* An old one must not be taken for that of images which are being written now. */
MUST_USE int img_sums_remove(const struct img_dir *dir, struct err *err);

/* ---------------------------------------------- for readers and writers */

struct img_sum {
	char name[IMG_NAME_MAX];
	uint64_t size;
	bool has_crc, verified;
	uint32_t crc;
};

/* Continues a CRC-32 (that of zip and PNG); starts at 0. */
uint32_t img_sums_crc(const struct img_sums *s, uint32_t crc, const void *data, size_t len);
void img_sums_note(struct img_sums *s, const struct img_sum *sum);
/* Are there sums to compare with? Then NULL from img_sums_find says: not an image of this dump. */
bool img_sums_known(const struct img_sums *s);
struct img_sum *img_sums_find(struct img_sums *s, const char *name);
