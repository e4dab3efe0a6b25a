/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/text.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define FLUSH_AT (64 * 1024)
#define INDENT	 4

/* ------------------------------------------------------------------ bytes */

void json_text_init(struct json_text *t, int fd, bool pretty)
{
	*t = (struct json_text){.fd = fd, .pretty = pretty, .first = true, .cap = 2 * FLUSH_AT};
	t->buf = xcalloc(1, t->cap);
}

static void flush(struct json_text *t)
{
	int r = t->failed ? t->failed : io_write_full(t->fd, t->buf, t->len);

	if (r < 0)
		t->failed = r;
	t->len = 0;
}

/* Room for n more bytes. */
static char *room(struct json_text *t, size_t n)
{
	if (t->fd >= 0 && t->len >= FLUSH_AT)
		flush(t);
	if (n >= t->cap - t->len) {
		t->cap = 2 * (t->len + n + 1);
		t->buf = xrealloc(t->buf, t->cap, 1);
	}
	return t->buf + t->len;
}

static void put(struct json_text *t, const void *data, size_t len)
{
	memcpy(room(t, len), data, len);
	t->len += len;
}

static void put_char(struct json_text *t, char c)
{
	*room(t, 1) = c;
	t->len++;
}

static void __attribute__((format(printf, 2, 3))) putf(struct json_text *t, const char *fmt, ...)
{
	char buf[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	put(t, buf, strlen(buf));
}

int json_text_end(struct json_text *t, struct err *err)
{
	if (t->fd >= 0)
		flush(t);
	else
		*room(t, 1) = '\0';
	return t->failed ? err_sys(err, t->failed, "write the JSON text") : 0;
}

void json_text_done(struct json_text *t)
{
	free(t->buf);
	t->buf = NULL;
}

bool json_text_failed(const struct json_text *t)
{
	return t->failed < 0;
}

/* ------------------------------------------------------------- structure */

static void break_line(struct json_text *t)
{
	if (!t->pretty)
		return;
	put_char(t, '\n');
	for (unsigned int i = 0; i < t->depth * INDENT; i++)
		put_char(t, ' ');
}

/* Before a value or a key: what separates it from the one before. */
static void separate(struct json_text *t)
{
	if (t->keyed) {
		t->keyed = false;
		return;
	}
	if (!t->first)
		put(t, ", ", t->pretty ? 1 : 2);
	if (t->depth)
		break_line(t);
	t->first = false;
}

void json_open(struct json_text *t, char bracket)
{
	separate(t);
	put_char(t, bracket);
	t->depth++;
	t->first = true;
}

void json_shut(struct json_text *t, char bracket)
{
	t->depth--;
	if (!t->first)
		break_line(t);
	put_char(t, bracket);
	t->first = false;
}

void json_newline(struct json_text *t)
{
	put_char(t, '\n');
}

void json_raw(struct json_text *t, const char *raw, size_t len)
{
	separate(t);
	put(t, raw, len);
}

/* ---------------------------------------------------------------- scalars */

void json_u64(struct json_text *t, uint64_t value)
{
	bool quoted = t->big_as_text && value > INT64_MAX;

	separate(t);
	putf(t, quoted ? "\"%" PRIu64 "\"" : "%" PRIu64, value);
}

void json_i64(struct json_text *t, int64_t value)
{
	separate(t);
	putf(t, "%" PRId64, value);
}

void json_bool(struct json_text *t, bool value)
{
	json_raw(t, value ? "true" : "false", value ? 4 : 5);
}

void json_double(struct json_text *t, double value)
{
	separate(t);
	putf(t, "%.17g", value);
}

/* ---------------------------------------------------------------- strings */

/* One character of valid UTF-8 at p; moves p behind it. */
static uint32_t take_utf8(const uint8_t **p)
{
	const uint8_t *s = *p;
	uint32_t c = s[0];
	int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

	if (more)
		c &= 0x3fu >> more;
	for (int i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3fu);
	*p += 1 + more;
	return c;
}

static void put_escaped(struct json_text *t, uint32_t c)
{
	static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *at = c && c < 128 ? strchr(named, (int)c) : NULL;

	if (at)
		putf(t, "\\%c", names[at - named]);
	else if (c >= 0x20 && c < 0x7f)
		put_char(t, (char)c);
	else if (c < 0x10000)
		putf(t, "\\u%04" PRIx32, c);
	else
		putf(t, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((c - 0x10000) >> 10),
		     0xdc00 + ((c - 0x10000) & 0x3ff));
}

static void put_string(struct json_text *t, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;

	put_char(t, '"');
	while (*p)
		put_escaped(t, take_utf8(&p));
	put_char(t, '"');
}

void json_str(struct json_text *t, const char *s)
{
	separate(t);
	put_string(t, s);
}

void json_key(struct json_text *t, const char *key)
{
	separate(t);
	put_string(t, key);
	put(t, ": ", 2);
	t->keyed = true;
}

/* How many bytes the character at p has: 0 if there is no valid one. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (!n || n > left || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond the last plane. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool json_is_text(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0, n; i < len; i += n) {
		n = p[i] ? utf8_len(p + i, len - i) : 0;
		if (!n)
			return false;
	}
	return true;
}

/* ----------------------------------------------------------------- base64 */

static void put_base64_line(struct json_text *t, const uint8_t *p, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = room(t, len / 3 * 4 + 8), *start = out;

	for (; len >= 3; len -= 3, p += 3) {
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = digits[p[2] & 63];
	}
	if (len) {
		uint8_t second = len > 1 ? p[1] : 0;

		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | second >> 4];
		*out++ = len > 1 ? digits[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	t->len += (size_t)(out - start);
	if (t->folded)
		put(t, "\\n", 2);
}

void json_base64_open(struct json_text *t, bool folded)
{
	separate(t);
	put_char(t, '"');
	t->folded = folded;
	t->nrest = 0;
}

void json_base64_put(struct json_text *t, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t n = MIN(len, sizeof(t->rest) - t->nrest);

		if (!t->nrest && n == sizeof(t->rest)) {
			put_base64_line(t, p, n);
		} else {
			memcpy(t->rest + t->nrest, p, n);
			t->nrest += n;
			if (t->nrest == sizeof(t->rest)) {
				put_base64_line(t, t->rest, t->nrest);
				t->nrest = 0;
			}
		}
		p += n;
		len -= n;
	}
}

void json_base64_shut(struct json_text *t)
{
	if (t->nrest)
		put_base64_line(t, t->rest, t->nrest);
	t->nrest = 0;
	put_char(t, '"');
}

void json_base64(struct json_text *t, const void *data, size_t len, bool folded)
{
	json_base64_open(t, folded);
	json_base64_put(t, data, len);
	json_base64_shut(t);
}
