/* SPDX-License-Identifier: Apache-2.0 */
#include "file/ext.h"

#define VARINT_MAX 10

void ext_put(struct arena *a, ProtobufCMessage *msg, uint32_t tag, uint64_t value)
{
	ProtobufCMessageUnknownField *u = arena_new_of(a, ProtobufCMessageUnknownField);

	u->tag = tag;
	u->wire_type = PROTOBUF_C_WIRE_TYPE_VARINT;
	u->data = arena_alloc(a, VARINT_MAX);
	do {
		u->data[u->len++] = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
		value >>= 7;
	} while (value);
	msg->n_unknown_fields = 1;
	msg->unknown_fields = u;
}

bool ext_get(const ProtobufCMessage *msg, uint32_t tag, uint64_t *ret)
{
	for (unsigned int i = 0; i < msg->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *u = &msg->unknown_fields[i];
		uint64_t v = 0;

		if (u->tag != tag || u->wire_type != PROTOBUF_C_WIRE_TYPE_VARINT ||
		    u->len > VARINT_MAX)
			continue;
		for (size_t k = 0; k < u->len; k++)
			v |= (uint64_t)(u->data[k] & 0x7f) << (7 * k);
		*ret = v;
		return true;
	}
	return false;
}
