/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people, of the commands of `torpor image` that describe something. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Begin and end of a style; all "" without colour. */
struct style {
	const char *bold, *dim, *good, *bad, *accent, *off;
};
struct style image_style(bool colour);

/* "0", "812K", "3.4M": at most 6 characters. A buffer of the caller, of TEXT_BYTES. */
#define TEXT_BYTES 24
const char *text_bytes(uint64_t bytes, char buf[TEXT_BYTES]);
/* "850 us", "3.2 ms", "1.5 s" */
const char *text_micros(uint64_t us, char buf[TEXT_BYTES]);
/* "1 process", "3 processes": the plural is the word with "s", or "es" behind s. */
const char *text_count(uint64_t n, const char *word, char buf[48]);
/* Columns of the terminal on stdout, or 100. */
int text_width(void);
/* Prints at most `width` columns of UTF-8 text, with "..." for what was cut off, and no control
 * characters. Returns the columns.
 */
int text_print_cut(FILE *out, const char *s, int width);

/* obj[key] as number, or 0; as text, or "". */
uint64_t text_get_num(const json_t *obj, const char *key);
const char *text_get(const json_t *obj, const char *key);
