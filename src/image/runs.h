/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runs of a pagemap in little memory: some four bytes each instead of forty, for a dump must
 * not need more memory the more fragmented that of its target is. They are read in order, from any
 * address on.
 */
#pragma once

#include "base/vec.h"
#include "image/pages.h"

/* Every so many runs: where to begin to read. */
struct runs_mark {
	uint64_t end; /* of the run before, in pages; the first: 0 */
	uint64_t off; /* of the next PE_PRESENT run's bytes */
	size_t at;    /* in the bytes */
};

struct runs {
	VEC(uint8_t) bytes;
	VEC(struct runs_mark) marks;
	size_t n;
	uint64_t end, off; /* behind the last one */
};

/* As pagemap_load, with the runs here; *ret is NULL if the image is absent. */
MUST_USE int pagemap_load_packed(const struct img_dir *dir, enum img_kind kind, uint64_t id,
				 struct runs *ret_runs, struct pagemap **ret, struct err *err);

/* Runs ascend, without overlap; run->off is not stored: it follows from those before. */
void runs_add(struct runs *r, const struct page_run *run);
/* Gives back what was allocated in advance: none will be added. */
void runs_fit(struct runs *r);
void runs_done(struct runs *r);

/* Start with {0}, before the first run. */
struct runs_cursor {
	struct page_run run; /* the last one that was read; npages 0: none was yet */
	uint64_t end, off;   /* behind it */
	size_t at;
};
/* The next run into c->run. False: there is none. */
bool runs_next(const struct runs *r, struct runs_cursor *c);
/* The run that holds vaddr, or the first one behind it, into c->run. False: there is none. */
bool runs_seek(const struct runs *r, struct runs_cursor *c, uint64_t vaddr);
