/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_format.h"

#include "base/auto.h"
#include "base/log.h"

#include <string.h>

/* ---------------------------------------------------------------- parsing */

static bool scan_number(const char **p, int *ret)
{
	int n = 0;

	if (**p == '*') {
		++*p;
		*ret = LOG_NUMBER_ARG;
		return true;
	}
	for (; **p >= '0' && **p <= '9'; ++*p) {
		n = n * 10 + (**p - '0');
		if (n > LOG_LINE_MAX)
			return false;
	}
	*ret = n;
	return true;
}

static bool scan_flags(const char **p, struct log_directive *d)
{
	size_t n = strspn(*p, "-+ #0");

	if (n >= sizeof(d->flags))
		return false;
	memcpy(d->flags, *p, n);
	d->flags[n] = '\0';
	*p += n;
	return true;
}

/* Returns the argument's size as an integer. */
static size_t scan_length(const char **p, struct log_directive *d)
{
	static const struct {
		char text[3];
		char length;
		uint8_t size;
	} table[] = {
		{"hh", 'H', sizeof(int)},	{"h", 'h', sizeof(int)},
		{"ll", 'l', sizeof(long long)}, {"l", 'l', sizeof(long)},
		{"j", 'l', sizeof(intmax_t)},	{"z", 'l', sizeof(size_t)},
		{"t", 'l', sizeof(ptrdiff_t)},	{"L", 'L', sizeof(long double)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t n = strlen(table[i].text);

		if (strncmp(*p, table[i].text, n) != 0)
			continue;
		*p += n;
		d->length = table[i].length;
		return table[i].size;
	}
	return sizeof(int);
}

/* 0: such a conversion isn't for records. */
static uint8_t kind_of(const struct log_directive *d, size_t size)
{
	if (!d->conv)
		return 0;
	if (strchr("diuxXo", d->conv) && d->length != 'L')
		return size == 8 ? LOG_KIND_LONG : LOG_KIND_INT;
	if (strchr("eEfFgGaA", d->conv) && !(d->length == 'h' || d->length == 'H'))
		return d->length == 'L' ? LOG_KIND_LDOUBLE : LOG_KIND_DOUBLE;
	if (d->length)
		return 0;
	switch (d->conv) {
	case 'c':
		return LOG_KIND_INT;
	case 'p':
		return sizeof(void *) == 8 ? LOG_KIND_LONG : LOG_KIND_INT;
	case 's':
		return LOG_KIND_STR;
	case 'm':
		return strchr(d->flags, '#') ? 0 : LOG_KIND_ERRNO;
	default:
		return 0;
	}
}

bool log_directive_next(const char **fmt, struct log_directive *ret)
{
	struct log_directive d = {
		.text = *fmt, .width = LOG_NUMBER_NONE, .precision = LOG_NUMBER_NONE};
	const char *p = *fmt + strcspn(*fmt, "%");
	size_t size;

	d.text_len = (size_t)(p - *fmt);
	if (!*p || p[1] == '%') {
		d.conv = *p;
		*fmt = *p ? p + 2 : p;
		*ret = d;
		return true;
	}
	p++;
	if (!scan_flags(&p, &d))
		return false;
	if ((*p == '*' || (*p >= '1' && *p <= '9')) && !scan_number(&p, &d.width))
		return false;
	if (*p == '.') {
		p++;
		if (!scan_number(&p, &d.precision))
			return false;
	}
	size = scan_length(&p, &d);
	d.conv = *p;
	d.kind = kind_of(&d, size);
	if (!d.kind)
		return false;
	*fmt = p + 1;
	*ret = d;
	return true;
}

/* --------------------------------------------------------------- checking */

/* Integers may be of another size than ours: the log of another machine. */
static bool same_class(uint8_t a, uint8_t b)
{
	return a == b || ((a == LOG_KIND_INT || a == LOG_KIND_LONG) &&
			  (b == LOG_KIND_INT || b == LOG_KIND_LONG));
}

struct kinds {
	const uint8_t *data;
	size_t n, at;
};

static bool takes(struct kinds *k, uint8_t kind)
{
	return k->at < k->n && same_class(k->data[k->at++], kind);
}

bool log_format_fits(const char *fmt, const uint8_t *kinds, size_t n)
{
	struct kinds k = {kinds, n, 0};
	struct log_directive d;

	if (n == 1 && kinds[0] == LOG_KIND_TEXT)
		return true;
	do {
		if (!log_directive_next(&fmt, &d))
			return false;
		if (d.width == LOG_NUMBER_ARG && !takes(&k, LOG_KIND_INT))
			return false;
		if (d.precision == LOG_NUMBER_ARG && !takes(&k, LOG_KIND_INT))
			return false;
		if (d.kind && !takes(&k, d.kind))
			return false;
	} while (d.conv);
	return k.at == n;
}

/* -------------------------------------------------------------- rendering */

struct out {
	char *buf;
	size_t size, n;
};

static void put(struct out *o, const char *text, size_t len)
{
	len = MIN(len, o->size - 1 - o->n);
	memcpy(o->buf + o->n, text, len);
	o->n += len;
}

/* What snprintf says it has written, of which there may be less. */
static void advance(struct out *o, int n)
{
	if (n > 0)
		o->n = MIN(o->n + (size_t)n, o->size - 1);
}

/* The directive's numbers with their arguments in them; none of use is beyond a line's length. */
static int resolve(int number, const struct log_value **v)
{
	int64_t n = number == LOG_NUMBER_ARG ? (*v)++->i : number;

	return (int)MAX(MIN(n, LOG_LINE_MAX), -LOG_LINE_MAX);
}

/* A width or precision that isn't there is one of 0 or -1. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void put_number(struct out *o, const struct log_directive *d, int width, int precision,
		       const struct log_value *v)
{
	bool wide = v->kind == LOG_KIND_LONG;
	const char *length = wide		? "ll"
			     : d->length == 'H' ? "hh"
			     : d->length == 'h' ? "h"
			     : d->length == 'L' ? "L"
						: "";
	char spec[32];
	char *to = o->buf + o->n;
	size_t room = o->size - o->n;

	snprintf(spec, sizeof(spec), "%%%s*.*%s%c", d->flags, d->conv == 'p' ? "" : length,
		 d->conv);
	if (d->conv == 'p')
		advance(o, snprintf(to, room, spec, width, precision, (void *)(uintptr_t)v->i));
	else if (v->kind == LOG_KIND_DOUBLE)
		advance(o, snprintf(to, room, spec, width, precision, v->d));
	else if (v->kind == LOG_KIND_LDOUBLE)
		advance(o, snprintf(to, room, spec, width, precision, v->ld));
	else if (wide)
		advance(o, snprintf(to, room, spec, width, precision, (long long)v->i));
	else
		advance(o, snprintf(to, room, spec, width, precision, (int)v->i));
}

static void put_bytes(struct out *o, const struct log_directive *d, int width, int precision,
		      const char *s, size_t len)
{
	char spec[32];

	if (precision >= 0)
		len = MIN(len, (size_t)precision);
	snprintf(spec, sizeof(spec), "%%%s*.*s", d->flags);
	advance(o, snprintf(o->buf + o->n, o->size - o->n, spec, width, (int)strnlen(s, len), s));
}
#pragma GCC diagnostic pop

/* What the C library prints instead, unless it is asked for less than all of it. */
static void put_string(struct out *o, const struct log_directive *d, int width, int precision,
		       const struct log_value *v)
{
	static const char null[] = "(null)";
	size_t len = sizeof(null) - 1;

	if (v->is_null)
		put_bytes(o, d, width, -1, null,
			  precision >= 0 && (size_t)precision < len ? 0 : len);
	else
		put_bytes(o, d, width, precision, v->str, v->len);
	if (v->cut)
		put(o, "[cut]", 5);
}

static void put_errno(struct out *o, const struct log_directive *d, int width, int precision,
		      const struct log_value *v)
{
	char text[128];
	const char *s = strerror_r((int)v->i, text, sizeof(text));

	put_bytes(o, d, width, precision, s, strlen(s));
}

static void put_value(struct out *o, const struct log_directive *d, int width, int precision,
		      const struct log_value *v)
{
	if (v->kind == LOG_KIND_STR)
		put_string(o, d, width, precision, v);
	else if (v->kind == LOG_KIND_ERRNO)
		put_errno(o, d, width, precision, v);
	else
		put_number(o, d, width, precision, v);
}

size_t log_format_render(char *buf, size_t size, const char *fmt, const struct log_value *values,
			 size_t n)
{
	struct out o = {buf, size, 0};
	const struct log_value *v = values;
	struct log_directive d = {.conv = '%'};

	if (n == 1 && values[0].kind == LOG_KIND_TEXT) {
		put(&o, values[0].str, strnlen(values[0].str, values[0].len));
		d.conv = 0;
	}
	while (d.conv && log_directive_next(&fmt, &d)) {
		int width, precision;

		put(&o, d.text, d.text_len);
		if (!d.kind) {
			put(&o, "%", d.conv == '%');
			continue;
		}
		width = d.width == LOG_NUMBER_NONE ? 0 : resolve(d.width, &v);
		precision = resolve(d.precision, &v);
		put_value(&o, &d, width, precision, v++);
	}
	buf[o.n] = '\0';
	return o.n;
}

/* ------------------------------------------------------------------ lines */

const char *log_file_name(const char *path)
{
	const char *src = strstr(path, "src/");

	return src ? src + 4 : path;
}

size_t log_line_head(char *buf, size_t size, uint8_t level, const char *file, uint32_t line,
		     uint64_t ns, bool with_time)
{
	struct out o = {buf, size, 0};

	buf[0] = '\0';
	if (with_time)
		advance(&o, snprintf(buf, size, "(%02llu.%06llu) ",
				     (unsigned long long)(ns / 1000000000),
				     (unsigned long long)(ns / 1000 % 1000000)));
	if (level == LOG_ERROR || level == LOG_WARN)
		advance(&o, snprintf(buf + o.n, size - o.n,
				     "%s (%s:%u): ", level == LOG_ERROR ? "Error" : "Warn ",
				     log_file_name(file), line));
	return o.n;
}
