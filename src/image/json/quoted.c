/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/quoted.h"

#include <string.h>

#define LINE_MAX_LEN 76

static bool is_quoted(const uint8_t *data, size_t len, size_t i, size_t column)
{
	uint8_t c = data[i];

	if (c == '.' && column == 0) /* alone on its line, mail would end there */
		return i + 1 == len || data[i + 1] == '\n' || data[i + 1] == '\r' || !data[i + 1];
	return c != '\n' && (c < 33 || c > 126 || c == '=');
}

char *quoted_encode(struct arena *a, const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	/* At worst three characters each, and a soft break after every 24 of those. */
	char *out = arena_alloc(a, len * 4 + 4), *p = out;
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		bool quoted = is_quoted(data, len, i, column);
		size_t need = quoted ? 3 : 1;
		bool ends = i + 1 == len || data[i + 1] == '\n';

		if (data[i] == '\n') {
			*p++ = '\n';
			column = 0;
			continue;
		}
		if (column + need >= LINE_MAX_LEN && !(ends && !quoted)) {
			*p++ = '=';
			*p++ = '\n';
			column = 0;
		}
		column += need;
		if (quoted) {
			*p++ = '=';
			*p++ = digits[data[i] >> 4];
			*p++ = digits[data[i] & 15];
		} else {
			*p++ = (char)data[i];
		}
	}
	*p = '\0';
	return out;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool quoted_decode(struct arena *a, const char *text, uint8_t **ret, size_t *ret_len)
{
	uint8_t *out = arena_alloc(a, strlen(text) + 1), *p = out;

	while (*text) {
		if (text[0] != '=') {
			*p++ = (uint8_t)*text++;
		} else if (text[1] == '\n') {
			text += 2; /* a soft break */
		} else if (digit(text[1]) >= 0 && digit(text[2]) >= 0) {
			*p++ = (uint8_t)(digit(text[1]) << 4 | digit(text[2]));
			text += 3;
		} else {
			return false;
		}
	}
	*ret = out;
	*ret_len = (size_t)(p - out);
	return true;
}
