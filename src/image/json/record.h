/* SPDX-License-Identifier: Apache-2.0 */
/* Inside image/json/: one record's bytes and its JSON, and whether one gives the other. */
#pragma once

#include "image/json/message.h"

/*
 * Are these bytes what the message's JSON would be packed to again? They aren't if fields repeat,
 * or come in another order, or numbers have more bytes than they need.
 */
MUST_USE int record_is_canonical(const ProtobufCMessage *msg, const uint8_t *data, size_t len,
				 struct show_cache *shows, bool *ret, struct err *err);
/*
 * The bytes to write for an object: those in its "@wire", if they say the same as the rest of it,
 * else its fields packed.
 */
MUST_USE int record_pack(json_t *entry, const ProtobufCMessageDescriptor *type,
			 const char *const besides[], struct show_cache *shows, struct arena *a,
			 uint8_t **ret, size_t *ret_len, struct err *err);
/* Unpacks into the arena. ERR_INPUT: why it can't be. */
MUST_USE int record_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
			   struct arena *a, ProtobufCMessage **ret, struct err *err);
