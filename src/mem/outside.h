/* SPDX-License-Identifier: Apache-2.0 */
/* Copies memory of a target into a file from outside, through one buffer of fixed size. */
#pragma once

#include "image/pages.h"
#include "remote/target.h"

/* A piece of memory and its place in the file. */
struct mem_piece {
	uint64_t va, len;
	uint64_t off;
	bool readable; /* see struct mem_run */
};

/* The buffer; for one thread at a time, for any target. */
struct outside;
struct outside *outside_new(void);
void outside_free(struct outside *o); /* accepts NULL */

#define OUTSIDE_BUF_LEN (256u * 1024)

/* Reads up to OUTSIDE_BUF_LEN bytes; *ret is good until the next use. */
MUST_USE int outside_read(struct outside *o, const struct target *t, uint64_t va, size_t len,
			  const uint8_t **ret, struct err *err);
/* `sums`: whose pages file `fd` is, to be told of the pages with their checksums; or NULL. */
MUST_USE int outside_copy(struct outside *o, const struct target *t, int fd,
			  const struct mem_piece *pieces, size_t n, struct pagemap_writer *sums,
			  struct err *err);
