/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows the records of some kinds of images, beside its JSON form: member "extra" of a
 * record
 * (../shared/interfaces/CRIT.md section 4). Padding that isn't zero, which no writer makes, is in
 * "@pad", so that it isn't lost.
 */
#pragma once

#include "image/json/formats.h"
#include "image/json/input.h"
#include "image/json/message.h"
#include "image/json/output.h"
#include "image/json/split.h"

struct payload_reader {
	struct input *in;
	struct json_text *t;
	struct show_cache *shows;
	bool sizes_only; /* their sizes as text instead of the bytes */
	const struct format *format;
	const char *where; /* the record, for messages */
};

/* Reads what follows the record from `in`; writes the member to the open object of t. */
MUST_USE int payload_decode(struct payload_reader *r, const ProtobufCMessage *msg, struct err *err);

struct payload_writer {
	struct output *out;
	const struct split *split;
	struct show_cache *shows;
	const struct format *format;
	struct arena *a; /* scratch */
};

/* Members of a record that aren't fields of its message. NULL-terminated. */
extern const char *const payload_members[];
/* Writes what follows the record that `msg` is: as its member "extra" says, which has to fit it. */
MUST_USE int payload_encode(struct payload_writer *w, const json_t *entry,
			    const ProtobufCMessage *msg, struct err *err);
