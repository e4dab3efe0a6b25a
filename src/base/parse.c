/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parse.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int digit_value(char c, int base)
{
	int v;

	if (c >= '0' && c <= '9')
		v = c - '0';
	else if (c >= 'a' && c <= 'f')
		v = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		v = c - 'A' + 10;
	else
		return -1;
	return v < base ? v : -1;
}

/* Digits at s: their number is returned, 0 for none, -1 for overflow. */
static int scan_digits(const char *s, int base, uint64_t *ret)
{
	uint64_t v = 0;
	int n = 0, d;

	for (; (d = digit_value(s[n], base)) >= 0; n++)
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return -1;
	*ret = v;
	return n;
}

int parse_u64(const char *s, int base, uint64_t *ret)
{
	uint64_t v;
	int n;

	if (base == 16 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	n = scan_digits(s, base, &v);
	if (n < 0)
		return -ERANGE;
	if (n == 0 || s[n])
		return -EINVAL;
	*ret = v;
	return 0;
}

int parse_u32(const char *s, int base, uint32_t *ret)
{
	uint64_t v;

	TRY(parse_u64(s, base, &v));
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

int parse_i64(const char *s, int base, int64_t *ret)
{
	bool neg = s[0] == '-';
	uint64_t v;

	TRY(parse_u64(s + neg, base, &v));
	if (v > (uint64_t)INT64_MAX + neg)
		return -ERANGE;
	*ret = neg ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

int parse_int(const char *s, int *ret)
{
	int64_t v;

	TRY(parse_i64(s, 10, &v));
	if (v < INT_MIN || v > INT_MAX)
		return -ERANGE;
	*ret = (int)v;
	return 0;
}

int parse_pid(const char *s, int *ret)
{
	int v;

	TRY(parse_int(s, &v));
	if (v <= 0)
		return -EINVAL;
	*ret = v;
	return 0;
}

static const char *skip_blanks(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

bool scan_u64(const char **p, int base, uint64_t *ret)
{
	const char *s = skip_blanks(*p);
	uint64_t v;
	int n;

	if (base == 16 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	n = scan_digits(s, base, &v);
	if (n <= 0)
		return false;
	*ret = v;
	*p = s + n;
	return true;
}

bool scan_i64(const char **p, int base, int64_t *ret)
{
	const char *s = skip_blanks(*p);
	bool neg = *s == '-';
	uint64_t v;
	int n = scan_digits(s + neg, base, &v);

	if (n <= 0 || v > (uint64_t)INT64_MAX + neg)
		return false;
	*ret = neg ? (int64_t)(0 - v) : (int64_t)v;
	*p = s + neg + n;
	return true;
}

bool scan_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

bool scan_word(const char **p, char *buf, unsigned long size)
{
	const char *s = skip_blanks(*p);
	size_t n = strcspn(s, " \t\n");

	if (n == 0 || n >= size)
		return false;
	memcpy(buf, s, n);
	buf[n] = '\0';
	*p = s + n;
	return true;
}

const char *str_after(const char *line, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(line, prefix, n) == 0 ? line + n : NULL;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

void str_copy(char *dst, unsigned long size, const char *src)
{
	size_t n = strlen(src);

	if (n >= size)
		n = size - 1;
	memcpy(dst, src, n);
	dst[n] = '\0';
}
