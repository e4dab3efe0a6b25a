/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page images: pagemap-*.img and pages-*.img. Format facts: ../shared/formats/IMAGES.md section 7.
 */
#pragma once

#include "image/image.h"

#define PE_PARENT  (1u << 0)
#define PE_LAZY	   (1u << 1)
#define PE_PRESENT (1u << 2)
#define PE_COW	   (1u << 3) /* torpor's own: the same page as `owner` has at this address */

/* A run of pages. `vaddr` is an address, or an offset in a shared object. */
struct page_run {
	uint64_t vaddr;
	uint64_t npages;
	uint32_t flags; /* PE_* */
	uint64_t off;	/* PE_PRESENT: where its bytes start in the pages file */
	uint32_t owner; /* PE_COW: the vpid of a task in the same directory; not PE_COW there */
	bool huge;	/* was one or more whole huge pages */
};

/*
 * Writing one pagemap: the caller appends runs in ascending order and puts the bytes into the
 * pages file at the offset it is told (by itself, or by lending `fd` to the target).
 */
struct pagemap_writer;
MUST_USE int pagemap_create(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			    uint32_t pages_id, struct pagemap_writer **ret, struct err *err);
/*
 * Appends (`off` isn't looked at); returns the offset for its bytes in *ret_off. Neighbours that
 * are alike are merged.
 */
MUST_USE int pagemap_add(struct pagemap_writer *w, const struct page_run *run, uint64_t *ret_off,
			 struct err *err);
/* The pages file, created at the first call (mode 0644). */
MUST_USE int pagemap_pages_fd(struct pagemap_writer *w, struct err *err);
/*
 * The bytes [off, off + len) are in the pages file now, each announced once, in any order: from
 * here their checksums are made, by another thread, from the page cache.
 */
void pagemap_wrote(struct pagemap_writer *w, uint64_t off, uint64_t len);
/* The same for n pages that aren't in the page cache: with their checksums (page_sum). */
void pagemap_wrote_summed(struct pagemap_writer *w, uint64_t off, const uint32_t *sums, size_t n);
uint64_t pagemap_pages_written(const struct pagemap_writer *w);	       /* in pages */
MUST_USE int pagemap_close(struct pagemap_writer *w, struct err *err); /* frees in any case */
void pagemap_abort(struct pagemap_writer *w);

/*
 * Reading: all runs checked (ascending, no overlap, inside the pages file) and the pages file
 * mapped read-only. Old forms are accepted (compat_nr_pages, in_parent).
 */
struct pagemap {
	struct page_run *runs;
	size_t nruns;
	uint64_t npages;      /* of all runs */
	const uint8_t *pages; /* mapped pages file; NULL if it has none */
	size_t pages_len;
	int fd;
	char name[IMG_NAME_MAX]; /* for messages */
	char pages_name[IMG_NAME_MAX];
	uint32_t pages_id;
};
/* ERR_INPUT if the pagemap file is absent, unless `optional`: then *ret is NULL. */
MUST_USE int pagemap_load(const struct img_dir *dir, enum img_kind kind, uint64_t id, bool optional,
			  struct pagemap **ret, struct err *err);
void pagemap_free(struct pagemap *p); /* accepts NULL */
/* The run that holds vaddr, or the first one behind it; nruns if none. */
size_t pagemap_find(const struct pagemap *p, uint64_t vaddr);
