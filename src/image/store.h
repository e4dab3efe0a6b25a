/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of pages are: the images of a dump together with those it builds on.
 *
 * A chain of directories: level 0 is the one that was named, each `parent` link leads to the next.
 * An entry of a pagemap has its bytes in its own directory (PE_PRESENT), in a parent's pagemap of
 * the same name (PE_PARENT), or is another task's at the same address in the same directory
 * (PE_COW). A store follows all of that, so that its users see pages and their bytes, nothing else:
 * pages that are one in the images have one and the same `src`.
 *
 * Format facts: ../shared/formats/IMAGES.md 7.1; PE_COW: docs/images.md.
 */
#pragma once

#include "base/pool.h"
#include "image/pages.h"

struct page_store;

struct page_piece {
	uint64_t vaddr;
	const uint8_t *src;   /* mapped read-only, as long as the store is open */
	uint64_t npages : 63; /* there are many pieces: no byte is wasted */
	uint64_t huge : 1;    /* was one or more whole huge pages */
};

/* The pages of one task or shared object, ascending. Belongs to the store. */
struct page_map {
	struct page_piece *pieces;
	size_t n;
	uint64_t npages;
	char name[IMG_NAME_MAX]; /* of the pagemap image, for messages */
	bool dropped;		 /* page_map_drop: there are no pieces */
};

/*
 * Opens the chain that begins in `dir` (which stays the caller's and must outlive the store), with
 * the sums of each level. Refused, naming the directory: a level that is missing or unfinished, one
 * that isn't the parent that the images were made with (parent_run_id), a loop.
 */
MUST_USE int page_store_open(const struct img_dir *dir, struct page_store **ret, struct err *err);
void page_store_close(struct page_store *s); /* accepts NULL */
/* How many levels there are: 1 for a full dump. */
size_t page_store_depth(const struct page_store *s);
/* Do bytes alone tell which pages are one (PE_COW unused), or is that recorded? */
bool page_store_knows_cow(const struct page_store *s);

/*
 * The pages of pagemap-ID or pagemap-shmem-ID, every one with its bytes: read once, then kept. If
 * the image is absent: ERR_INPUT, or *ret is NULL if `optional`. Refused: a page that the parents
 * don't have, pages left to a lazy-pages server, owners that refer to others in turn.
 */
MUST_USE int page_store_map(struct page_store *s, enum img_kind kind, uint64_t id, bool optional,
			    const struct page_map **ret, struct err *err);
/*
 * Gives the memory of its pieces back; the next page_store_map makes them again. Any thread may do
 * it whose map that is. Accepts NULL.
 */
void page_map_drop(const struct page_map *m);
/* The piece that holds vaddr, or the first one behind it; n if none. */
size_t page_map_find(const struct page_map *m, uint64_t vaddr);

/* For those who show a chain to people: who has the bytes of some pages that follow each other. */
struct page_origin {
	uint64_t vaddr, npages;
	size_t level; /* of the directory whose pages file has them */
	uint64_t id;  /* of the pagemap there: another task's if they are shared */
	/* The bytes, as long as the store is open; and which ones those are, in any store. */
	const uint8_t *src;
	uint64_t dev, ino, off;
};
typedef void page_origin_fn(void *arg, const struct page_origin *o);
/*
 * Tells the origins of all pages of an image of level 0, ascending; an absent one has none. What
 * page_store_map refuses is refused, after those in front of it were told.
 */
MUST_USE int page_store_origins(struct page_store *s, enum img_kind kind, uint64_t id,
				page_origin_fn *fn, void *arg, struct err *err);
/* The same for what an image of this level has by itself, which is what was written in its round.
 */
MUST_USE int page_store_written(struct page_store *s, size_t level, enum img_kind kind, uint64_t id,
				page_origin_fn *fn, void *arg, struct err *err);
/* Where that level is; as the user named it, or else absolute. */
const char *page_store_path(const struct page_store *s, size_t level);

/*
 * Compares the checksums of all pages of all maps that were asked for so far, in every level that
 * has them. The first wrong page is named: image, place, task and address.
 */
MUST_USE int page_store_verify(struct page_store *s, struct pool *pool, struct err *err);

/*
 * Punches holes into the pages files of all levels but 0 where level 0 has no use for their bytes
 * any more. Level 0 is complete. Returns how many bytes that were in *ret_freed.
 */
MUST_USE int page_store_dedup(struct page_store *s, uint64_t *ret_freed, struct err *err);
/* The same for level 0 itself and all others: no byte is needed any more. */
MUST_USE int page_store_punch_all(struct page_store *s, struct err *err);
