/* SPDX-License-Identifier: Apache-2.0 */
/* Inside image/: the parts of image_check_each. */
#pragma once

#include "image/check.h"
#include "image/store.h"

/* Decodes an image file completely; an absent one has no problem. */
MUST_USE int check_decode(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			  struct err *err);
/* Compares all images of this directory with integrity.img, and tells which aren't as dumped. */
void img_sums_each_wrong(const struct img_dir *dir, image_problem_fn *fn, void *arg);
/*
 * As page_store_verify, in this thread, and without stopping: pages that follow each other are one
 * problem.
 */
void page_store_each_wrong(struct page_store *s, const struct image_listener *l);
/* The directory of a level, for what is done with all of them. */
const struct img_dir *page_store_dir(const struct page_store *s, size_t level);
/*
 * Compares the pages of this pages file that no pagemap in `store` (may be NULL) led to: for a
 * directory in which something is wrong already.
 */
void check_loose_pages(const struct img_dir *dir, struct page_store *store, uint32_t pages_id,
		       const char *name, image_problem_fn *fn, void *arg);
