/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has the kernel read pages files from disk ahead of who needs them, so that the disk is busy while
 * images are checked and processes are made. A hint: nothing of it can fail.
 */
#pragma once

#include "image/store.h"

struct readahead;

/* A thread begins with the pages files of `dir`, in the order of their numbers. */
struct readahead *readahead_new(const struct img_dir *dir);
/* Then these pages: what of them is in the parents' files. The map must outlive `r`. */
void readahead_map(struct readahead *r, const struct page_map *m);
void readahead_free(struct readahead *r); /* ends at once; accepts NULL */
