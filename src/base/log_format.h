/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats as printf has them, taken apart: what arguments they take, and how recorded arguments
 * become the text that printf would have made. A format may come from a file: any bytes are safe.
 */
#pragma once

#include "base/log_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 4096 /* with the newline */

/* A number in a directive: absent, or an argument of its own. */
enum { LOG_NUMBER_NONE = -1, LOG_NUMBER_ARG = -2 };

struct log_directive {
	const char *text; /* what stands before it */
	size_t text_len;
	char flags[8];
	int width, precision; /* or one of the above */
	char length;	      /* 0, 'h', 'H' for hh, 'l' for all wider ones, 'L' */
	char conv;	      /* '%': an escaped one, without argument. 0: the format ended */
	uint8_t kind;	      /* enum log_kind; 0: no argument */
};

/*
 * The next directive of *fmt, which is moved behind it. False: one that records can't have
 * (%n, %ls, ... or no directive at all).
 */
bool log_directive_next(const char **fmt, struct log_directive *ret);

struct log_value {
	uint8_t kind;
	bool cut;	 /* a string that was longer */
	bool is_null;	 /* a string that was a null pointer */
	uint16_t len;	 /* of a string */
	const char *str; /* not terminated */
	union {
		int64_t i;
		double d;
		long double ld;
	};
};

/* Do arguments of these kinds fit the format? Where they do, it can be rendered. */
bool log_format_fits(const char *fmt, const uint8_t *kinds, size_t n);
/*
 * The message: as snprintf, but returns the length that is in buf. A string that was cut is
 * followed by "[cut]".
 */
size_t log_format_render(char *buf, size_t size, const char *fmt, const struct log_value *values,
			 size_t n);

/* "(SS.UUUUUU) " if with_time, then "Error (FILE:LINE): " or "Warn  (FILE:LINE): " or nothing. */
size_t log_line_head(char *buf, size_t size, uint8_t level, const char *file, uint32_t line,
		     uint64_t ns, bool with_time);
/* A source file as the log shows it: below src/. */
const char *log_file_name(const char *path);
