/* SPDX-License-Identifier: Apache-2.0 */
/* Inside image/: what the files store*.c share about one chain. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "image/inventory.h"
#include "image/runs.h"
#include "image/store.h"

/* One pagemap of one level, read once. The runs are as they are in the file. */
struct store_image {
	size_t level;
	enum img_kind kind; /* IMG_PAGEMAP or IMG_PAGEMAP_SHMEM */
	uint64_t id;
	struct pagemap *pm; /* without runs; NULL: there is none */
	uint64_t dev, ino;  /* of the pages file, if it has one */
	struct runs runs;
	struct runs_cursor cursor; /* where a page was looked for last */
	struct page_map *map;	   /* what it comes to; only if it was asked for */
	uint8_t *used;		   /* a bit for each page of the pages file: store_mark_used */
};

struct store_level {
	struct img_dir dir; /* of level 0: a copy of the caller's */
	char *path;	    /* as it is now, for messages */
	struct inventory_chain chain;
	uint64_t dev, ino;
	struct map tasks, shmems; /* ids to places in `images` */
	VEC(struct store_image *) images;
};

struct page_store {
	VEC(struct store_level) levels;
	struct err
		no_parent; /* why the last level's link leads to nothing; code 0: there is none */
};

/* The image; im->pm is NULL if it is absent. Errors name the directory if it isn't level 0. */
MUST_USE int store_image_get(struct page_store *s, size_t level, enum img_kind kind, uint64_t id,
			     struct store_image **ret, struct err *err);
/* Sets the bits of all pages that this image has, wherever they are. */
MUST_USE int store_mark_used(struct page_store *s, struct store_image *im, struct err *err);
/* Puts the directory in front of an error, unless it is the one that the user named. */
int store_err_in(const struct page_store *s, size_t level, struct err *err);

/* Bytes of a pages file that pages of the maps asked for so far have. */
struct store_range {
	struct store_image *image;
	uint64_t off, len; /* whole pages, inside one pages file */
};
/*
 * All of them: grouped by level and image, ascending in each, no byte twice. To be freed by the
 * caller.
 */
size_t store_ranges(struct page_store *s, struct store_range **ret);
