/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and words from text. They refuse junk, signs where none belong, and overflow. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The whole string is one number in `base` (8, 10, 16). 0, -EINVAL or -ERANGE. */
MUST_USE int parse_u64(const char *s, int base, uint64_t *ret);
MUST_USE int parse_u32(const char *s, int base, uint32_t *ret);
MUST_USE int parse_i64(const char *s, int base, int64_t *ret);
MUST_USE int parse_int(const char *s, int *ret);
MUST_USE int parse_pid(const char *s, int *ret); /* > 0 */

/*
 * Cursor forms: read a number at *p and move *p behind it (leading blanks are skipped).
 * Return false, without moving, where there is none or it overflows.
 */
bool scan_u64(const char **p, int base, uint64_t *ret);
bool scan_i64(const char **p, int base, int64_t *ret);
bool scan_char(const char **p, char c); /* exactly this character, no blanks skipped */
bool scan_word(const char **p, char *buf, unsigned long size); /* blank-delimited */

/* If `line` starts with `prefix`, the rest of it; else NULL. */
const char *str_after(const char *line, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* Copies with truncation, always terminated. */
void str_copy(char *dst, unsigned long size, const char *src);
