/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf wire form: tags of (field number << 3 | wire type), each with its value.
 *
 * protobuf-c unpacks by recursion without a limit and says of a bad message only that it is bad.
 * This walk bounds the depth beforehand, where the type allows any depth, and finds out afterwards
 * what was wrong with a message that didn't unpack. It allocates nothing.
 */
#include "image/wire.h"

#include <string.h>

#define FIELDS_MAX 128 /* of one message; the largest of the schema has 71 */

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

struct cursor {
	const uint8_t *p, *end;
};

struct wire_field {
	uint32_t number;
	enum wire_type wire;
	struct cursor body; /* WIRE_LEN */
};

static bool take_varint(struct cursor *c, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 70 && c->p < c->end; shift += 7) {
		uint8_t byte = *c->p++;

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool take_bytes(struct cursor *c, uint64_t len, struct cursor *ret)
{
	if (len > (uint64_t)(c->end - c->p))
		return false;
	*ret = (struct cursor){c->p, c->p + len};
	c->p += len;
	return true;
}

static bool take_field(struct cursor *c, struct wire_field *ret)
{
	uint64_t tag, len;

	if (!take_varint(c, &tag) || tag >> 32 || !(tag >> 3))
		return false;
	ret->number = (uint32_t)(tag >> 3);
	ret->wire = (enum wire_type)(tag & 7);
	switch (ret->wire) {
	case WIRE_VARINT:
		return take_varint(c, &len);
	case WIRE_64:
		return take_bytes(c, 8, &ret->body);
	case WIRE_LEN:
		return take_varint(c, &len) && take_bytes(c, len, &ret->body);
	case WIRE_32:
		return take_bytes(c, 4, &ret->body);
	default: /* groups are no part of proto2 as used here */
		return false;
	}
}

static enum wire_type wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_LEN;
	default:
		return WIRE_VARINT;
	}
}

static int walk(const ProtobufCMessageDescriptor *type, struct cursor c, unsigned int depth,
		struct err *err);

static int walk_field(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
		      const struct wire_field *f, unsigned int depth, struct err *err)
{
	enum wire_type want = wire_of(field->type);
	bool packed = field->label == PROTOBUF_C_LABEL_REPEATED && want != WIRE_LEN;

	if (f->wire != want && !(packed && f->wire == WIRE_LEN))
		return err_input(err, "%s.%s: wire type %d instead of %d", type->name, field->name,
				 (int)f->wire, (int)want);
	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	return walk(field->descriptor, f->body, depth + 1, err);
}

static int check_required(const ProtobufCMessageDescriptor *type, const bool *seen, struct err *err)
{
	for (unsigned int i = 0; i < type->n_fields; i++)
		if (type->fields[i].label == PROTOBUF_C_LABEL_REQUIRED && !seen[i])
			return err_input(err, "%s.%s is missing", type->name, type->fields[i].name);
	return 0;
}

static int walk(const ProtobufCMessageDescriptor *type, struct cursor c, unsigned int depth,
		struct err *err)
{
	bool seen[FIELDS_MAX] = {false};

	if (depth > WIRE_DEPTH_MAX)
		return err_input(err, "%s is nested more than %d deep", type->name, WIRE_DEPTH_MAX);
	if (type->n_fields > FIELDS_MAX)
		return err_bug(err, "%s has %u fields", type->name, type->n_fields);
	while (c.p < c.end) {
		const ProtobufCFieldDescriptor *field;
		struct wire_field f;

		if (!take_field(&c, &f))
			return err_input(err, "%s: broken, or cut off", type->name);
		field = protobuf_c_message_descriptor_get_field(type, f.number);
		if (!field)
			continue; /* newer than the schema */
		seen[field - type->fields] = true;
		TRY(walk_field(type, field, &f, depth, err));
	}
	return check_required(type, seen, err);
}

int wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
	       struct err *err)
{
	return walk(type, (struct cursor){data, data + len}, 0, err);
}

bool wire_is_recursive(const ProtobufCMessageDescriptor *type)
{
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];

		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		/* The schema has no longer cycles than of one type. */
		if (f->descriptor == type || wire_is_recursive(f->descriptor))
			return true;
	}
	return false;
}

size_t wire_value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}
