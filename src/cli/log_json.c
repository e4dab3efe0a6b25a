/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log_json.h"

#include "base/arena.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

/* Strings of a log are any bytes. Where they aren't UTF-8, what isn't ASCII is replaced. */
static json_t *text_of(const char *s, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	json_t *text = json_stringn(s, len);
	char *copy;
	size_t n = 0;

	if (text)
		return text;
	copy = xcalloc(len + 1, sizeof(replacement) - 1);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x80) {
			copy[n++] = s[i];
			continue;
		}
		memcpy(copy + n, replacement, sizeof(replacement) - 1);
		n += sizeof(replacement) - 1;
	}
	text = json_stringn(copy, n);
	free(copy);
	return text;
}

static json_t *number_of(const struct log_value *v, bool is_signed)
{
	char text[32];

	if (v->kind != LOG_KIND_LONG)
		return json_integer(is_signed ? v->i : (uint32_t)v->i);
	if (is_signed || v->i >= 0)
		return json_integer(v->i);
	/* More than many readers of JSON can hold. */
	snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)v->i);
	return json_string(text);
}

static json_t *real_of(double d)
{
	return isfinite(d) ? json_real(d) : json_string(isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
}

static json_t *value_of(const struct log_value *v, bool is_signed)
{
	switch (v->kind) {
	case LOG_KIND_DOUBLE:
		return real_of(v->d);
	case LOG_KIND_LDOUBLE:
		return real_of((double)v->ld);
	case LOG_KIND_STR:
	case LOG_KIND_TEXT:
		return v->is_null ? json_null() : text_of(v->str, v->len);
	default:
		return number_of(v, is_signed || v->kind == LOG_KIND_ERRNO);
	}
}

/* Which arguments have a sign, only the format knows. */
static json_t *values_of(const struct log_entry *e)
{
	const char *fmt = e->place->fmt;
	json_t *list = json_array();
	struct log_directive d = {.conv = '%'};
	size_t i = 0;

	if (e->nvalues == 1 && e->values[0].kind == LOG_KIND_TEXT) {
		json_array_append_new(list, value_of(&e->values[0], false));
		return list;
	}
	while (i < e->nvalues && d.conv && log_directive_next(&fmt, &d)) {
		if (d.width == LOG_NUMBER_ARG)
			json_array_append_new(list, value_of(&e->values[i++], true));
		if (d.precision == LOG_NUMBER_ARG)
			json_array_append_new(list, value_of(&e->values[i++], true));
		if (d.kind)
			json_array_append_new(
				list, value_of(&e->values[i++], strchr("dic", d.conv) != NULL));
	}
	return list;
}

static bool is_cut(const struct log_entry *e)
{
	for (size_t i = 0; i < e->nvalues; i++)
		if (e->values[i].cut)
			return true;
	return false;
}

static json_t *wall_time(uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	char text[64], day[32] = "?";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%06" PRIu64 "Z", day, ns / 1000 % 1000000);
	return json_string(text);
}

char *log_entry_json(const struct log_reader *r, const struct log_entry *e)
{
	const struct log_place *pl = e->place;
	char message[LOG_LINE_MAX];
	size_t len = log_entry_message(e, message, sizeof(message));
	json_t *line = json_object();
	char *text;

	json_object_set_new(line, "time", json_real((double)e->ns / 1e9));
	json_object_set_new(line, "wall", wall_time(log_reader_about(r)->wall_ns + e->ns));
	json_object_set_new(line, "level", json_string(log_level_name(pl->level)));
	json_object_set_new(line, "pid", json_integer(e->pid));
	json_object_set_new(line, "tid", json_integer(e->tid));
	json_object_set_new(line, "file", text_of(pl->file, strlen(pl->file)));
	json_object_set_new(line, "line", json_integer(pl->line));
	json_object_set_new(line, "message", text_of(message, len));
	json_object_set_new(line, "format", text_of(pl->fmt, strlen(pl->fmt)));
	json_object_set_new(line, "args", values_of(e));
	if (is_cut(e))
		json_object_set_new(line, "cut", json_true());
	text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(line);
	if (!text)
		abort(); /* no memory: nothing else can fail here */
	return text;
}
