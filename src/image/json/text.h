/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as a stream of bytes, in the form that Python's json.dump() gives it and scripts made for
 *crit expect: on one line with ", " and ": ", or indented by four blanks; everything but ASCII
 *escaped.
 *
 *	struct json_text t;
 *	json_text_init(&t, fd, "name", pretty);
 *	json_open(&t, '{');
 *	json_key(&t, "pid");
 *	json_u64(&t, 12);
 *	json_shut(&t, '}');
 *	TRY(json_text_end(&t, err));
 *
 * A write that fails is remembered, and told by json_text_end(): there is no need to look in
 *between, but long loops may ask json_text_failed(). Values of an array are written one after the
 *other.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_text {
	int fd; /* -1: into memory, all of it */
	bool pretty;
	bool big_as_text; /* numbers above 2^63 - 1 as strings, for readers that have none */
	unsigned int depth;
	bool first; /* nothing was written yet on this level */
	bool keyed; /* a key was written, its value comes next */
	int failed; /* negative errno of the first write that failed */
	char *buf;  /* terminated after json_text_end() */
	size_t len, cap;
	/* Base64: what is left over, less than a line's worth. */
	uint8_t rest[57];
	size_t nrest;
	bool folded;
};

void json_text_init(struct json_text *t, int fd, bool pretty);
/* Flushes. The text of one in memory is t->buf, which json_text_done() frees. */
MUST_USE int json_text_end(struct json_text *t, struct err *err);
void json_text_done(struct json_text *t);
bool json_text_failed(const struct json_text *t);

void json_open(struct json_text *t, char bracket); /* { or [ */
void json_shut(struct json_text *t, char bracket); /* } or ] */
void json_key(struct json_text *t, const char *key);
void json_u64(struct json_text *t, uint64_t value);
void json_i64(struct json_text *t, int64_t value);
void json_bool(struct json_text *t, bool value);
void json_double(struct json_text *t, double value);
/* UTF-8, valid; any length. */
void json_str(struct json_text *t, const char *s);
/* The text after `key` is only `raw`: for what was made by other means. */
void json_raw(struct json_text *t, const char *raw, size_t len);
/* Ends the line, behind the outermost value. */
void json_newline(struct json_text *t);

/*
 * Base64, in pieces: open, any number of puts, shut. `folded` is MIME's form: a line break after
 * each 76 characters and at the end, as Python's base64.encodebytes() has it.
 */
void json_base64_open(struct json_text *t, bool folded);
void json_base64_put(struct json_text *t, const void *data, size_t len);
void json_base64_shut(struct json_text *t);
/* All of it at once. */
void json_base64(struct json_text *t, const void *data, size_t len, bool folded);

/* Is it valid UTF-8 without NUL? */
bool json_is_text(const void *data, size_t len);
