/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as JSON objects, and back. Fields stand in the order of their numbers, absent ones are
 * absent. So that nothing is lost:
 *
 * - a field that the schema doesn't know is "#NUMBER": a number (varint), {"fixed32": N},
 *   {"fixed64": N}, {"bytes": BASE64}, or an array of these;
 * - a string that isn't UTF-8 is {"bytes": BASE64};
 * - "@wire" (of a record, see decode.c) has its bytes, if they aren't those that it would be packed
 * to.
 */
#pragma once

#include "image/json/show.h"
#include "image/json/text.h"

#include <jansson.h>

#define JSON_WIRE_KEY "@wire"

/* The members of the object: the caller opens and shuts it. t->pretty: as people read it. */
void message_put_members(struct json_text *t, struct show_cache *c, const ProtobufCMessage *msg);
void message_put(struct json_text *t, struct show_cache *c, const ProtobufCMessage *msg);

/*
 * The object as packed bytes of the arena. Members that begin with '@', and those named in
 * `besides` (NULL-terminated), are passed over. ERR_INPUT names the field.
 */
MUST_USE int message_pack(json_t *object, const ProtobufCMessageDescriptor *type,
			  const char *const besides[], struct show_cache *c, struct arena *a,
			  uint8_t **ret, size_t *ret_len, struct err *err);

/* 0 to 63; -1: not a digit of base64. The other alphabet, of file names, is taken, too. */
int base64_digit(char c);
/* Base64 text with any white space in it, into bytes of the arena. */
MUST_USE int base64_decode(const char *text, struct arena *a, uint8_t **ret, size_t *ret_len,
			   struct err *err);
