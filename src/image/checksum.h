/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C of the contents of a file, or of a part of them: what reg_file_entry.checksum is.
 *
 * Holes cost nothing, whatever their size. A sum can be taken in pieces, by several threads.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* reg_file_entry.checksum_config; disk values. N is checksum_parameter. */
enum sum_part {
	SUM_FULL = 0,  /* everything */
	SUM_FIRST = 1, /* the first N bytes */
	SUM_EVERY = 2, /* the bytes at 0, N, 2N ... */
};
#define SUM_PARAM_DEFAULT 1024

struct sum_spec {
	enum sum_part part;
	uint32_t param; /* N, not 0; means nothing for SUM_FULL */
};

/* Are these values that an image may have? */
bool sum_spec_is_valid(uint32_t part, uint32_t param);
/* "the first 1024 bytes": for messages. */
void sum_spec_describe(const struct sum_spec *spec, char *buf, unsigned long size);
/* How far into a file of `size` bytes the sum looks. */
uint64_t sum_reach(const struct sum_spec *spec, uint64_t size);
/* How many bytes between `from` and `to` are summed. */
uint64_t sum_count(const struct sum_spec *spec, uint64_t from, uint64_t to);
/*
 * The sum of those bytes between `from` and `to` that it takes in. The file must have them all:
 * -EIO if it ends before. Leaves the descriptor's position anywhere. Runs in any thread.
 */
MUST_USE int sum_range(int fd, const struct sum_spec *spec, uint64_t from, uint64_t to,
		       uint32_t *ret);
