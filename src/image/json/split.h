/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON text taken apart value by value, in little memory however long it is: the object around
 * all, its members, and the elements of an array, each of which jansson parses by itself.
 *
 * Two things are done to a value's text before jansson sees it. Integers that it couldn't hold
 * (above 2^63) become strings. A string of more than a megabyte must be base64: its bytes go to a
 * file without a name, and the string becomes {"@spool": N}; see split_spool().
 */
#pragma once

#include "base/vec.h"
#include "image/json/input.h"

#include <jansson.h>

#define SPLIT_SPOOL_KEY "@spool"

struct split {
	struct input in;
	VEC(char) text;	 /* of the value in the making */
	VEC(int) spools; /* of the current value */
	uint64_t begin;	 /* where it begins, for messages */
	bool any;	 /* a member or element came before */
};

void split_init(struct split *s, int fd, const char *name);
void split_done(struct split *s);
/* The object around all opens. ERR_INPUT if that isn't what is there. */
MUST_USE int split_open(struct split *s, struct err *err);
/* The next member's name (at most 63 bytes) with its colon: 1, or 0 at the end of the object. */
MUST_USE int split_key(struct split *s, char key[64], struct err *err);
/* A whole value. To be given back with json_decref. */
MUST_USE int split_value(struct split *s, json_t **ret, struct err *err);
/* An array opens; its elements: 1, or 0 at its end. */
MUST_USE int split_array(struct split *s, struct err *err);
MUST_USE int split_element(struct split *s, json_t **ret, struct err *err);
/* Nothing but blanks is left. */
MUST_USE int split_end(struct split *s, struct err *err);

/* The file and length of {"@spool": N}, valid until the next value; false: v isn't one. */
bool split_spool(const struct split *s, const json_t *v, int *ret_fd, uint64_t *ret_len);

/* A text in memory, whose big integers become strings. NULL: not JSON. */
json_t *split_parse(const char *text, size_t len);
