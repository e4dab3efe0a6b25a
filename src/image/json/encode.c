/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to image files: json.h. */
#include "image/json/json.h"

#include "base/auto.h"
#include "image/json/formats.h"
#include "image/json/payload.h"
#include "image/json/raw.h"
#include "image/json/record.h"
#include "image/kinds.h"

#include <inttypes.h>
#include <string.h>

struct encoder {
	struct split split;
	struct output out;
	struct show_cache shows;
	struct arena *keep;
	const struct format *format; /* NULL as long as "magic" wasn't there, or it is RAW */
	bool raw;
	enum format_head head;
	uint64_t count;
};

static int take_string(struct encoder *e, const char *key, json_t **ret, struct err *err)
{
	TRY(split_value(&e->split, ret, err));
	if (json_is_string(*ret))
		return 0;
	json_decref(*ret);
	return err_input(err, "%s: %s: not a string", e->split.in.name, key);
}

static int take_magic(struct encoder *e, struct err *err)
{
	json_t *v;
	int r = 0;

	TRY(take_string(e, "magic", &v, err));
	e->raw = strcmp(json_string_value(v), RAW_MAGIC) == 0;
	e->format = format_by_name(json_string_value(v));
	if (e->format)
		e->head = e->format->head;
	else if (!e->raw)
		r = err_input(err, "%s: No handler found for image with magic %.64s",
			      e->split.in.name, json_string_value(v));
	json_decref(v);
	return r;
}

static int take_head(struct encoder *e, struct err *err)
{
	json_t *v;
	int word;

	TRY(take_string(e, "head", &v, err));
	word = format_head_by_word(json_string_value(v));
	json_decref(v);
	if (word < 0)
		return err_input(err, "%s: head: none of common, service, none", e->split.in.name);
	e->head = (enum format_head)word;
	return 0;
}

/* ---------------------------------------------------------------- records */

static int put_head(struct encoder *e, struct err *err)
{
	if (e->raw)
		return 0;
	if (e->head == HEAD_COMMON)
		TRY(output_u32(&e->out, IMG_MAGIC_COMMON, err));
	else if (e->head == HEAD_SERVICE)
		TRY(output_u32(&e->out, IMG_MAGIC_SERVICE, err));
	return output_u32(&e->out, e->format->magic, err);
}

static int put_end_sum(struct encoder *e, const json_t *entry, struct err *err)
{
	const json_t *given = json_object_get(entry, "@crc");

	return output_u32(&e->out,
			  json_is_integer(given) ? (uint32_t)json_integer_value(given) : e->out.crc,
			  err);
}

static int put_record(struct encoder *e, json_t *entry, struct arena *a, struct err *err)
{
	struct payload_writer payload = {&e->out, &e->split, &e->shows, e->format, a};
	const ProtobufCMessageDescriptor *type = e->count && e->format->rest ? e->format->rest
									     : e->format->type;
	ProtobufCMessage *msg;
	uint8_t *data;
	size_t len;

	TRY(record_pack(entry, type, payload_members, &e->shows, a, &data, &len, err));
	if (len > IMG_RECORD_MAX)
		return err_input(err, "%zu bytes are more than any record has", len);
	TRY(output_u32(&e->out, (uint32_t)len, err));
	TRY(output_put(&e->out, data, len, err));
	TRY(record_unpack(type, data, len, a, &msg, err));
	if (e->format->payload == PAYLOAD_INTEGRITY)
		return put_end_sum(e, entry, err);
	return payload_encode(&payload, entry, msg, err);
}

static int put_entry(struct encoder *e, json_t *entry, struct err *err)
{
	struct arena *a = arena_new();
	int r = e->raw ? raw_encode_entry(entry, &e->split, &e->out, a, err)
		       : put_record(e, entry, a, err);

	arena_free(a);
	return r < 0 ? err_in(err, "%s: entry %" PRIu64, e->split.in.name, e->count) : 0;
}

static int take_entries(struct encoder *e, struct err *err)
{
	json_t *entry;
	int got;

	if (!e->format && !e->raw) {
		err_input(err, "%s: there is no \"magic\" before \"entries\"", e->split.in.name);
		return err_hint(err, "put it in front, as decode does");
	}
	TRY(put_head(e, err));
	TRY(split_array(&e->split, err));
	while ((got = split_element(&e->split, &entry, err)) > 0) {
		int r = put_entry(e, entry, err);

		json_decref(entry);
		TRY(r);
		e->count++;
	}
	return got;
}

/* A member that decode doesn't make, or "kind", which only says what the name of the file says. */
static int pass_over(struct encoder *e, struct err *err)
{
	json_t *v;

	TRY(split_value(&e->split, &v, err));
	json_decref(v);
	return 0;
}

static int encode(struct encoder *e, struct err *err)
{
	bool entries = false;
	char key[64];
	int got;

	TRY(split_open(&e->split, err));
	while ((got = split_key(&e->split, key, err)) > 0) {
		if (strcmp(key, "magic") == 0)
			TRY(take_magic(e, err));
		else if (strcmp(key, "head") == 0)
			TRY(take_head(e, err));
		else if (strcmp(key, "entries") == 0 && !entries) {
			TRY(take_entries(e, err));
			entries = true;
		} else
			TRY(pass_over(e, err));
	}
	TRY(got);
	TRY(split_end(&e->split, err));
	if (!entries)
		return err_input(err, "%s: there are no \"entries\"", e->split.in.name);
	return output_flush(&e->out, err);
}

int json_encode_image(const struct json_job *job, struct err *err)
{
	auto_free struct encoder *e = xcalloc(1, sizeof(*e));
	int r;

	split_init(&e->split, job->in_fd, job->name);
	e->split.in.progress = job->progress;
	e->split.in.progress_arg = job->progress_arg;
	output_init(&e->out, job->out_fd, "the image");
	e->keep = arena_new();
	e->shows.a = e->keep;
	r = encode(e, err);
	show_cache_done(&e->shows);
	split_done(&e->split);
	arena_free(e->keep);
	return r;
}
