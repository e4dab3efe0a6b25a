/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/record.h"

#include "base/auto.h"
#include "image/json/split.h"
#include "image/wire.h"

#include <string.h>

static void *alloc_from_arena(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void free_in_arena(void *arena, void *p)
{
	(void)arena; /* goes with the arena */
	(void)p;
}

int record_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
		  struct arena *a, ProtobufCMessage **ret, struct err *err)
{
	ProtobufCAllocator allocator = {alloc_from_arena, free_in_arena, a};

	TRY(wire_check(type, data, len, err));
	*ret = protobuf_c_message_unpack(type, &allocator, len, data);
	return *ret ? 0 : err_input(err, "not a valid %s", type->name);
}

/* The JSON of a message parsed and packed again. */
static int pack_again(const ProtobufCMessage *msg, struct show_cache *shows, struct arena *a,
		      uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct json_text t;
	json_t *object;
	int r;

	json_text_init(&t, -1, /* pretty= */ false);
	message_put(&t, shows, msg);
	r = json_text_end(&t, err);
	object = r < 0 ? NULL : split_parse(t.buf, t.len);
	json_text_done(&t);
	TRY(r);
	if (!object)
		return err_bug(err, "JSON that can't be read again");
	r = message_pack(object, msg->descriptor, NULL, shows, a, ret, ret_len, err);
	json_decref(object);
	return r;
}

static bool has_unknown(const ProtobufCMessage *msg);

static bool has_unknown_below(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
	const char *base = (const char *)msg;
	ProtobufCMessage **many, *one;
	size_t n;

	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		memcpy(&one, base + f->offset, sizeof(one));
		return one && has_unknown(one);
	}
	memcpy(&n, base + f->quantifier_offset, sizeof(n));
	memcpy(&many, base + f->offset, sizeof(many));
	for (size_t i = 0; i < n; i++)
		if (has_unknown(many[i]))
			return true;
	return false;
}

/* The depth is bounded: record_unpack has looked at it. */
static bool has_unknown(const ProtobufCMessage *msg)
{
	if (msg->n_unknown_fields)
		return true;
	for (unsigned int i = 0; i < msg->descriptor->n_fields; i++)
		if (has_unknown_below(msg, &msg->descriptor->fields[i]))
			return true;
	return false;
}

int record_is_canonical(const ProtobufCMessage *msg, const uint8_t *data, size_t len,
			struct show_cache *shows, bool *ret, struct err *err)
{
	struct arena *a;
	uint8_t *again;
	size_t n = protobuf_c_message_get_packed_size(msg);
	int r = 0;

	*ret = false;
	if (n != len)
		return 0;
	a = arena_new();
	/* protobuf-c keeps unknown fields as they were, message_pack() writes them anew. */
	if (has_unknown(msg)) {
		r = pack_again(msg, shows, a, &again, &n, err);
	} else {
		again = arena_alloc(a, n + 1);
		n = protobuf_c_message_pack(msg, again);
	}
	*ret = r == 0 && n == len && memcmp(again, data, len) == 0;
	arena_free(a);
	return r;
}

static int pack_wire(json_t *wire, const ProtobufCMessageDescriptor *type, const uint8_t *packed,
		     size_t packed_len, struct show_cache *shows, struct arena *a, uint8_t **ret,
		     size_t *ret_len, struct err *err)
{
	ProtobufCMessage *msg;
	uint8_t *data, *again;
	size_t len, n;

	if (!json_is_string(wire))
		return err_input(err, "not base64");
	TRY(base64_decode(json_string_value(wire), a, &data, &len, err));
	TRY(record_unpack(type, data, len, a, &msg, err));
	TRY(pack_again(msg, shows, a, &again, &n, err));
	if (n != packed_len || memcmp(again, packed, n) != 0)
		return 0; /* a field was edited */
	*ret = data;
	*ret_len = len;
	return 0;
}

int record_pack(json_t *entry, const ProtobufCMessageDescriptor *type, const char *const besides[],
		struct show_cache *shows, struct arena *a, uint8_t **ret, size_t *ret_len,
		struct err *err)
{
	json_t *wire = json_object_get(entry, JSON_WIRE_KEY);

	TRY(message_pack(entry, type, besides, shows, a, ret, ret_len, err));
	if (wire && pack_wire(wire, type, *ret, *ret_len, shows, a, ret, ret_len, err) < 0)
		return err_in(err, JSON_WIRE_KEY);
	return 0;
}
