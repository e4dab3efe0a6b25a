/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to a file or pipe, in order, through a buffer. */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct output {
	int fd;
	const char *name; /* for messages */
	uint64_t off;	  /* of the next byte */
	uint32_t crc;	  /* CRC32C of all of them */
	size_t len;
	uint8_t buf[64 * 1024];
};

void output_init(struct output *o, int fd, const char *name);
MUST_USE int output_put(struct output *o, const void *data, size_t len, struct err *err);
MUST_USE int output_u32(struct output *o, uint32_t value, struct err *err);
/* len bytes of a file, from its start. */
MUST_USE int output_file(struct output *o, int fd, uint64_t len, struct err *err);
MUST_USE int output_flush(struct output *o, struct err *err);
