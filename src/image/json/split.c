/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/split.h"

#include "base/auto.h"
#include "base/io.h"
#include "image/json/message.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SPOOL_MIN (1024 * 1024)
/* A record has at most 256 MiB (image/kinds.h), and its text some times that. */
#define TEXT_MAX ((size_t)2 << 30)

void split_init(struct split *s, int fd, const char *name)
{
	memset(s, 0, sizeof(*s));
	input_init(&s->in, fd, name);
}

static void drop_spools(struct split *s)
{
	vec_foreach (fd, &s->spools)
		fd_close(*fd);
	s->spools.len = 0;
}

void split_done(struct split *s)
{
	drop_spools(s);
	vec_done(&s->spools);
	vec_done(&s->text);
}

static int malformed(const struct split *s, const char *what, struct err *err)
{
	err_input(err, "%s: not JSON of an image: at byte %" PRIu64 ": %s", s->in.name, s->in.off,
		  what);
	return err_hint(err, "encode takes what decode has given");
}

/* -------------------------------------------------------------- characters */

static bool is_blank(int c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next character that isn't blank, unread; 0: the end of the text. */
static int look(struct split *s, struct err *err)
{
	for (;;) {
		const uint8_t *p;
		int64_t n = input_peek(&s->in, &p, err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return 0;
		if (!is_blank(*p))
			return *p ? *p : '?';
		input_skip(&s->in, 1);
	}
}

static int expect_char(struct split *s, char c, const char *what, struct err *err)
{
	int next = look(s, err);

	TRY(next);
	if (next != c)
		return malformed(s, what, err);
	input_skip(&s->in, 1);
	return 0;
}

/* ------------------------------------------------------------ spooled text */

/* Base64 digits of a JSON string into a file, as they come. */
struct spool {
	int fd;
	uint8_t out[16 * 1024];
	size_t len;
	uint32_t bits;
	unsigned int ndigits, padding;
	bool escaped;
};

static int spool_flush(struct spool *sp, struct err *err)
{
	int r = io_write_full(sp->fd, sp->out, sp->len);

	sp->len = 0;
	return r < 0 ? err_sys(err, r, "a temporary file: write") : 0;
}

static int spool_open(struct spool *sp, struct err *err)
{
	memset(sp, 0, offsetof(struct spool, out));
	sp->len = sp->ndigits = sp->padding = 0;
	sp->bits = 0;
	sp->escaped = false;
	sp->fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (sp->fd < 0)
		sp->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (sp->fd < 0)
		sp->fd = memfd_create("torpor-spool", MFD_CLOEXEC);
	return sp->fd < 0 ? err_sys(err, -errno, "a temporary file") : 0;
}

/* One character of the string. False: it isn't one of base64. */
static bool spool_digit(struct spool *sp, char c)
{
	int d = base64_digit(c);

	if (c == '=')
		return ++sp->padding <= 2;
	if (d < 0 || sp->padding)
		return false;
	sp->bits = sp->bits << 6 | (uint32_t)d;
	if (++sp->ndigits % 4 == 0) {
		sp->out[sp->len++] = (uint8_t)(sp->bits >> 16);
		sp->out[sp->len++] = (uint8_t)(sp->bits >> 8);
		sp->out[sp->len++] = (uint8_t)sp->bits;
	}
	return true;
}

static bool spool_char(struct spool *sp, char c)
{
	if (sp->escaped) {
		sp->escaped = false;
		if (c == 'n' || c == 'r' || c == 't')
			return true;
		return c == '/' && spool_digit(sp, c);
	}
	if (c == '\\') {
		sp->escaped = true;
		return true;
	}
	return c == ' ' || spool_digit(sp, c);
}

static int spool_put(struct split *s, struct spool *sp, const char *p, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!spool_char(sp, p[i]))
			return malformed(s, "a string of this length has to be base64", err);
		if (sp->len > sizeof(sp->out) - 4)
			TRY(spool_flush(sp, err));
	}
	return 0;
}

static int spool_end(struct split *s, struct spool *sp, struct err *err)
{
	if (sp->ndigits % 4 == 1)
		return malformed(s, "base64 with a digit too many", err);
	if (sp->ndigits % 4 == 2)
		sp->out[sp->len++] = (uint8_t)(sp->bits >> 4);
	if (sp->ndigits % 4 == 3) {
		sp->out[sp->len++] = (uint8_t)(sp->bits >> 10);
		sp->out[sp->len++] = (uint8_t)(sp->bits >> 2);
	}
	return spool_flush(sp, err);
}

bool split_spool(const struct split *s, const json_t *v, int *ret_fd, uint64_t *ret_len)
{
	json_t *n = json_object_get(v, SPLIT_SPOOL_KEY);
	struct stat st;

	if (!json_is_integer(n) || json_integer_value(n) < 0 ||
	    (uint64_t)json_integer_value(n) >= s->spools.len)
		return false;
	*ret_fd = s->spools.data[json_integer_value(n)];
	if (fstat(*ret_fd, &st) < 0)
		return false;
	*ret_len = (uint64_t)st.st_size;
	return true;
}

/* --------------------------------------------------------- a value's text */

static void keep(struct split *s, const char *p, size_t n)
{
	if (n > s->text.cap - s->text.len) {
		s->text.cap = 2 * (s->text.len + n + 64);
		s->text.data = xrealloc(s->text.data, s->text.cap, 1);
	}
	memcpy(s->text.data + s->text.len, p, n);
	s->text.len += n;
}

/* How far the string goes on in these bytes; *ret_closed: its end is there, too. */
static size_t scan_string(const char *p, size_t n, bool *escaped, bool *ret_closed)
{
	for (size_t i = 0; i < n; i++) {
		if (*escaped)
			*escaped = false;
		else if (p[i] == '\\')
			*escaped = true;
		else if (p[i] == '"') {
			*ret_closed = true;
			return i;
		}
	}
	return n;
}

/* What is left of a string that got too long, from the text's byte `at` on. */
static int spool_string(struct split *s, size_t at, bool escaped, struct err *err)
{
	struct spool sp;
	bool closed = false;
	char token[32];
	int r = spool_open(&sp, err);

	TRY(r);
	*vec_push(&s->spools) = sp.fd; /* closed by whoever drops them */
	TRY(spool_put(s, &sp, s->text.data + at + 1, s->text.len - at - 1, err));
	while (!closed) {
		const uint8_t *p;
		int64_t have = input_peek(&s->in, &p, err);
		size_t n;

		if (have <= 0)
			return have < 0 ? (int)have : malformed(s, "a string without end", err);
		n = scan_string((const char *)p, (size_t)have, &escaped, &closed);
		TRY(spool_put(s, &sp, (const char *)p, n, err));
		input_skip(&s->in, n + closed);
	}
	TRY(spool_end(s, &sp, err));
	s->text.len = at;
	snprintf(token, sizeof(token), "{\"" SPLIT_SPOOL_KEY "\": %zu}", s->spools.len - 1);
	keep(s, token, strlen(token));
	return 0;
}

/* A string, from its first quote on. */
static int take_string(struct split *s, struct err *err)
{
	size_t at = s->text.len;
	bool escaped = false, closed = false;

	keep(s, "\"", 1);
	input_skip(&s->in, 1);
	while (!closed) {
		const uint8_t *p;
		int64_t have = input_peek(&s->in, &p, err);
		size_t n;

		if (have <= 0)
			return have < 0 ? (int)have : malformed(s, "a string without end", err);
		n = scan_string((const char *)p, (size_t)have, &escaped, &closed);
		keep(s, (const char *)p, n + closed);
		input_skip(&s->in, n + closed);
		if (!closed && s->text.len - at > SPOOL_MIN)
			return spool_string(s, at, escaped, err);
	}
	return 0;
}

/* Characters up to the next one that has a meaning here. */
static size_t scan_plain(const char *p, size_t n)
{
	static const bool means[256] = {
		['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true, [','] = true,
	};
	size_t i = 0;

	while (i < n && !means[(unsigned char)p[i]])
		i++;
	return i;
}

/* The text of one value, up to the comma or bracket behind it. */
static int take_text(struct split *s, struct err *err)
{
	unsigned int depth = 0;

	drop_spools(s);
	s->text.len = 0;
	s->begin = s->in.off;
	for (;;) {
		const uint8_t *p;
		int64_t have = input_peek(&s->in, &p, err);
		size_t n;
		char c;

		if (have <= 0)
			return have < 0 ? (int)have : malformed(s, "the text ends too early", err);
		n = scan_plain((const char *)p, (size_t)have);
		keep(s, (const char *)p, n);
		c = n < (size_t)have ? (char)p[n] : '\0';
		input_skip(&s->in, n);
		if (s->text.len > TEXT_MAX)
			return malformed(s, "a value that is longer than any record's", err);
		if (n == (size_t)have)
			continue;
		if (!depth && (c == ',' || c == '}' || c == ']'))
			return 0;
		if (c == '"') {
			TRY(take_string(s, err));
			continue;
		}
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		keep(s, &c, 1);
		input_skip(&s->in, 1);
	}
}

/* ------------------------------------------------------------ big numbers */

/* Decimal digits that 63 bits can't hold for sure. */
#define BIG_DIGITS 19

/* The length of a string at p, with both quotes. */
static size_t string_len(const char *p, size_t left)
{
	bool escaped = false, closed = false;

	return MIN(left, 2 + scan_string(p + 1, left - 1, &escaped, &closed));
}

static bool is_number_char(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.';
}

json_t *split_parse(const char *text, size_t len)
{
	auto_free char *out = xcalloc(1, len + len / 8 + 16);
	json_error_t error;
	size_t n = 0;

	for (size_t i = 0, m; i < len; i += m) {
		bool big = false;

		if (text[i] == '"') {
			m = string_len(text + i, len - i);
		} else {
			for (m = 0; i + m < len && is_number_char(text[i + m]); m++)
				;
			big = m >= BIG_DIGITS && strspn(text + i, "0123456789") >= m;
			m = m ? m : 1;
		}
		if (big)
			out[n++] = '"';
		memcpy(out + n, text + i, m);
		n += m;
		if (big)
			out[n++] = '"';
	}
	return json_loadb(out, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
}

/* ----------------------------------------------------------------- values */

int split_value(struct split *s, json_t **ret, struct err *err)
{
	TRY(look(s, err));
	TRY(take_text(s, err));
	keep(s, "", 1);
	*ret = split_parse(s->text.data, s->text.len - 1);
	if (*ret)
		return 0;
	err_input(err, "%s: not JSON: the value at byte %" PRIu64 ", '%.40s'", s->in.name, s->begin,
		  s->text.data);
	return err_hint(err, "encode takes what decode has given");
}

int split_open(struct split *s, struct err *err)
{
	TRY(expect_char(s, '{', "an object was expected", err));
	s->any = false;
	return 0;
}

/* The comma between two; 0: `end` is here instead. */
static int next_one(struct split *s, char end, struct err *err)
{
	int c = look(s, err);

	TRY(c);
	if (c == end) {
		input_skip(&s->in, 1);
		return 0;
	}
	if (s->any)
		TRY(expect_char(s, ',', "a comma was expected", err));
	s->any = true;
	return 1;
}

int split_key(struct split *s, char key[64], struct err *err)
{
	int c, r = next_one(s, '}', err);

	if (r <= 0)
		return r;
	c = look(s, err);
	TRY(c);
	if (c != '"')
		return malformed(s, "a name in quotes was expected", err);
	s->text.len = 0;
	TRY(take_string(s, err));
	if (s->text.len > 63)
		return malformed(s, "a name that no member has", err);
	snprintf(key, 64, "%.*s", (int)s->text.len - 2, s->text.data + 1);
	TRY(expect_char(s, ':', "a colon was expected", err));
	return 1;
}

int split_array(struct split *s, struct err *err)
{
	TRY(expect_char(s, '[', "an array was expected", err));
	s->any = false;
	return 0;
}

int split_element(struct split *s, json_t **ret, struct err *err)
{
	int r = next_one(s, ']', err);

	if (r == 0)
		s->any = true; /* of the object around it */
	if (r <= 0)
		return r;
	TRY(split_value(s, ret, err));
	return 1;
}

int split_end(struct split *s, struct err *err)
{
	int c = look(s, err);

	TRY(c);
	return c ? malformed(s, "something behind the end", err) : 0;
}
