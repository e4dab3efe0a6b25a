/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sums-ID.img: the CRC32C of each page of pages-ID.img, little-endian 32 bits each and nothing
 * else, in the order of the pages. integrity.img has the sum of the file itself.
 *
 * The sums are made while the pages are written: by one thread per dump, from the page cache right
 * behind the writer. The thread is started with the first page, and idle once page_sums_wait has
 * returned; torpor may fork at any time, as no child of it touches what is behind these functions.
 */
#pragma once

#include "image/sums.h"

/* --------------------------------------------------------------- writing */

struct page_sums;
struct page_sums_file;

/*
 * One pages file is begun: `fd` (readable; duplicated here) is that of pages-ID.img in dir. NULL if
 * dir->sums is NULL; the functions below accept that.
 */
struct page_sums_file *page_sums_begin(const struct img_dir *dir, uint32_t pages_id, int fd);
/* Its bytes [off, off + len), whole pages, are there; each is told of once, in any order. */
void page_sums_add(struct page_sums_file *f, uint64_t off, uint64_t len);
/* The same for n pages from `off` on, whose sums the caller has made (page_sum). */
void page_sums_put(struct page_sums_file *f, uint64_t off, const uint32_t *sums, size_t n);
/* It is complete and has `size` bytes. Gives the file away; doesn't wait. */
void page_sums_end(struct page_sums_file *f, uint64_t size);
/* It won't be completed. Gives the file away. */
void page_sums_drop(struct page_sums_file *f);

/*
 * Until the sums of all files that were ended are made and noted in dir->sums. Refused as a bug: a
 * page that nobody told of.
 */
MUST_USE int page_sums_wait(const struct img_dir *dir, struct err *err);
void page_sums_free(struct page_sums *p); /* for img_sums_free; accepts NULL */

/* --------------------------------------------------------------- reading */

/* Mapped; as many as the pages file has pages. */
struct page_sums_table {
	const uint32_t *sums;
	uint64_t npages;
};

/*
 * 1 and the sums of pages-ID.img, themselves verified; 0 if there are none (images of another
 * engine). Refused: a side file that isn't as it was dumped, or not for `npages` pages.
 */
MUST_USE int page_sums_open(const struct img_dir *dir, uint32_t pages_id, uint64_t npages,
			    struct page_sums_table *ret, struct err *err);
void page_sums_close(struct page_sums_table *t);
/* The sum of one page. */
uint32_t page_sum(const void *page);
