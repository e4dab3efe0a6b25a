/* SPDX-License-Identifier: Apache-2.0 */
/* Copies memory of a target into a file from outside, through one buffer of fixed size. */
#pragma once

#include "remote/target.h"

/* A piece of memory and its place in the file. */
struct mem_piece {
	uint64_t va, len;
	uint64_t off;
	bool readable; /* see struct mem_run */
};

/* Stays in the CPU's cache between its filling and emptying. */
#define OUTSIDE_BUF_LEN (256 * 1024)

struct outside {
	const struct target *target;
	int fd;
	uint8_t *buf; /* allocated at first use */
};

MUST_USE int outside_copy(struct outside *o, const struct mem_piece *pieces, size_t n,
			  struct err *err);
void outside_done(struct outside *o);
