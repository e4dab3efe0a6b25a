/* SPDX-License-Identifier: Apache-2.0 */
/* Image files to JSON: json.h. */
#include "image/json/json.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "image/json/formats.h"
#include "image/json/payload.h"
#include "image/json/raw.h"
#include "image/json/record.h"
#include "image/kinds.h"

#include <inttypes.h>
#include <string.h>

/* Scratch memory is made anew after so many records, and after one of this size. */
#define SCRATCH_RECORDS 256
#define SCRATCH_BYTES	(256 * 1024)

struct decoder {
	const struct json_job *job;
	struct input in;
	struct json_text t;
	struct show_cache shows;
	struct arena *keep, *scratch;
	unsigned int nscratch;
	const struct format *format;
	enum format_head head;
	uint32_t crc; /* of all that was read, for PAYLOAD_INTEGRITY */
	char where[64];
	uint64_t count; /* of records */
};

static struct arena *scratch(struct decoder *d, size_t len)
{
	if (!d->scratch || d->nscratch++ % SCRATCH_RECORDS == 0 || len > SCRATCH_BYTES) {
		arena_free(d->scratch);
		d->scratch = arena_new();
		if (len > SCRATCH_BYTES)
			d->nscratch = 0;
	}
	return d->scratch;
}

/* ------------------------------------------------------------------- head */

static int unknown_magic(const struct decoder *d, uint32_t word, struct err *err)
{
	err_input(err, "%s: Unknown magic %#x", d->in.name, word);
	return err_hint(err, "Maybe you are feeding me an image with raw data(i.e. pages.img)?");
}

static int take_word(struct decoder *d, uint32_t *ret, struct err *err)
{
	int got = input_take(&d->in, ret, sizeof(*ret), err);

	TRY(got);
	if (got == 0) {
		err_input(err, "%s: truncated: its header is cut off", d->in.name);
		return err_hint(err, "copy the images again, whole, or take another dump");
	}
	d->crc = crc32c(d->crc, ret, sizeof(*ret));
	return 0;
}

static int take_head(struct decoder *d, struct err *err)
{
	uint32_t word;

	TRY(take_word(d, &word, err));
	d->head = word == IMG_MAGIC_COMMON    ? HEAD_COMMON
		  : word == IMG_MAGIC_SERVICE ? HEAD_SERVICE
					      : HEAD_BARE;
	if (d->head != HEAD_BARE)
		TRY(take_word(d, &word, err));
	d->format = format_by_magic(word);
	return d->format ? 0 : unknown_magic(d, word, err);
}

/* ---------------------------------------------------------------- records */

static const ProtobufCMessageDescriptor *record_type(const struct decoder *d)
{
	return d->count && d->format->rest ? d->format->rest : d->format->type;
}

/* The CRC32C that ends the list of images; shown if it isn't that of the bytes before it. */
static int put_end_sum(struct decoder *d, struct err *err)
{
	uint32_t right = d->crc, word;

	TRY(take_word(d, &word, err));
	if (word != right) {
		json_key(&d->t, "@crc");
		json_u64(&d->t, word);
	}
	return 0;
}

static int put_record(struct decoder *d, const uint8_t *data, size_t len, struct err *err)
{
	struct payload_reader payload = {&d->in,    &d->t,   &d->shows, d->job->sizes_only,
					 d->format, d->where};
	struct arena *a = scratch(d, len);
	ProtobufCMessage *msg;
	bool canonical;

	TRY(record_unpack(record_type(d), data, len, a, &msg, err));
	TRY(record_is_canonical(msg, data, len, &d->shows, &canonical, err));
	json_open(&d->t, '{');
	message_put_members(&d->t, &d->shows, msg);
	if (!canonical) {
		json_key(&d->t, JSON_WIRE_KEY);
		json_base64(&d->t, data, len, /* folded= */ false);
	}
	TRY(d->format->payload == PAYLOAD_INTEGRITY ? put_end_sum(d, err)
						    : payload_decode(&payload, msg, err));
	json_shut(&d->t, '}');
	return 0;
}

/* 1: there was a record; 0: the end. */
static int take_record(struct decoder *d, struct err *err)
{
	auto_free uint8_t *data = NULL;
	uint64_t at = d->in.off;
	uint32_t len;
	int got = input_take(&d->in, &len, sizeof(len), err);

	snprintf(d->where, sizeof(d->where), "record %" PRIu64 " at %" PRIu64, d->count, at);
	if (got <= 0)
		return got;
	if (len > IMG_RECORD_MAX)
		return err_input(err, "%s: %s: %u bytes are more than any record has", d->in.name,
				 d->where, len);
	TRY(input_take_new(&d->in, len, &data, err));
	d->crc = crc32c(crc32c(d->crc, &len, sizeof(len)), data, len);
	if (put_record(d, data, len, err) < 0)
		return strncmp(err->text, d->in.name, strlen(d->in.name)) == 0
			       ? err->code
			       : err_in(err, "%s: %s", d->in.name, d->where);
	d->count++;
	return json_text_failed(&d->t) ? json_text_end(&d->t, err) : 1;
}

static int64_t decode_records(struct decoder *d, struct err *err)
{
	int got;

	json_open(&d->t, '{');
	json_key(&d->t, "magic");
	json_str(&d->t, d->format->name);
	if (d->head != d->format->head) {
		json_key(&d->t, "head");
		json_str(&d->t, format_head_word(d->head));
	}
	json_key(&d->t, "entries");
	json_open(&d->t, '[');
	while ((got = take_record(d, err)) > 0)
		;
	TRY(got);
	json_shut(&d->t, ']');
	json_shut(&d->t, '}');
	/* The head of a pagemap isn't counted. */
	return (int64_t)(d->count -
			 (d->format->rest && d->format->payload == PAYLOAD_NONE && d->count));
}

static int64_t decode(struct decoder *d, struct err *err)
{
	const struct raw_kind *raw = d->job->no_raw ? NULL : raw_kind_of(d->job->name);
	int64_t count;

	if (!raw)
		TRY(take_head(d, err));
	count = raw ? raw_decode(raw, &d->in, &d->t, d->job->sizes_only, err)
		    : decode_records(d, err);
	if (count < 0)
		return count;
	if (d->job->newline)
		json_newline(&d->t);
	TRY(json_text_end(&d->t, err));
	return count;
}

static void decoder_init(struct decoder *d, const struct json_job *job)
{
	d->job = job;
	input_init(&d->in, job->in_fd, job->name);
	d->in.progress = job->progress;
	d->in.progress_arg = job->progress_arg;
	json_text_init(&d->t, job->out_fd, job->pretty);
	d->t.big_as_text = job->big_as_text;
	d->keep = arena_new();
	d->shows.a = d->keep;
}

static void decoder_done(struct decoder *d)
{
	show_cache_done(&d->shows);
	json_text_done(&d->t);
	arena_free(d->scratch);
	arena_free(d->keep);
}

int64_t json_count_image(const struct json_job *job, char **ret_kind, struct err *err)
{
	auto_free struct decoder *d = xcalloc(1, sizeof(*d));
	int64_t count;

	decoder_init(d, job);
	count = decode(d, err);
	if (count >= 0)
		*ret_kind = xstrdup(d->format ? d->format->name : RAW_MAGIC);
	decoder_done(d);
	return count;
}

int64_t json_decode_image(const struct json_job *job, struct err *err)
{
	auto_free char *kind = NULL;

	return json_count_image(job, &kind, err);
}
