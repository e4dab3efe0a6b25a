/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to JSON: message.h. */
#include "image/json/message.h"

#include "base/auto.h"
#include "image/json/quoted.h"
#include "image/wire.h"

#include <arpa/inet.h>
#include <string.h>

struct putter {
	struct json_text *t;
	struct show_cache *c;
};

static void put_members(struct putter *p, const ProtobufCMessage *msg, bool hex);

/* ---------------------------------------------------------------- scalars */

/* One element's bytes. Signed ones come sign-extended. */
static uint64_t int_at(const ProtobufCFieldDescriptor *f, const void *at)
{
	int32_t narrow;
	uint32_t word;
	uint64_t wide;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		memcpy(&narrow, at, sizeof(narrow));
		return (uint64_t)(int64_t)narrow;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		memcpy(&word, at, sizeof(word));
		return word;
	default:
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
}

static bool is_signed(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_ENUM:
		return true;
	default:
		return false;
	}
}

static void put_int(struct putter *p, const ProtobufCFieldDescriptor *f, const struct show *s,
		    uint64_t value, bool hex)
{
	static const struct show as_hex = {SHOW_HEX, NULL};
	char buf[SHOW_TEXT_MAX];

	if (hex && s->kind == SHOW_PLAIN)
		s = &as_hex;
	if (p->t->pretty && show_value(s, value, buf, sizeof(buf)))
		json_str(p->t, buf);
	else if (is_signed(f->type))
		json_i64(p->t, (int64_t)value);
	else
		json_u64(p->t, value);
}

static void put_enum(struct putter *p, const ProtobufCFieldDescriptor *f, uint64_t value)
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(f->descriptor, (int)(int64_t)value);

	if (v)
		json_str(p->t, v->name);
	else
		json_i64(p->t, (int64_t)value);
}

static void put_wrapped_bytes(struct putter *p, const void *data, size_t len)
{
	json_open(p->t, '{');
	json_key(p->t, "bytes");
	json_base64(p->t, data, len, /* folded= */ false);
	json_shut(p->t, '}');
}

static void put_string(struct putter *p, const char *s)
{
	if (json_is_text(s, strlen(s)))
		json_str(p->t, s);
	else
		put_wrapped_bytes(p, s, strlen(s));
}

static void put_bytes(struct putter *p, const struct show *s, const ProtobufCBinaryData *b)
{
	struct arena *a;

	if (s->kind != SHOW_UNIX_NAME) {
		json_base64(p->t, b->data, b->len, /* folded= */ true);
		return;
	}
	a = arena_new();
	json_str(p->t, quoted_encode(a, b->data, b->len));
	arena_free(a);
}

static void put_element(struct putter *p, const ProtobufCFieldDescriptor *f, const struct show *s,
			const void *at, bool hex)
{
	const void *ptr;
	ProtobufCBinaryData bytes;
	double d;
	float fl;

	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		memcpy(&ptr, at, sizeof(ptr));
		json_open(p->t, '{');
		put_members(p, ptr, hex || s->kind == SHOW_HEX);
		json_shut(p->t, '}');
		break;
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&ptr, at, sizeof(ptr));
		put_string(p, ptr);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&bytes, at, sizeof(bytes));
		put_bytes(p, s, &bytes);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		json_bool(p->t, *(const protobuf_c_boolean *)at);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(&fl, at, sizeof(fl));
		json_double(p->t, (double)fl);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(&d, at, sizeof(d));
		json_double(p->t, d);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		put_enum(p, f, int_at(f, at));
		break;
	default:
		put_int(p, f, s, int_at(f, at), hex);
	}
}

/* ----------------------------------------------------------------- fields */

/* Words of an IPv4 or IPv6 address, in network order. */
static bool put_address(struct putter *p, const uint32_t *words, size_t n)
{
	char buf[INET6_ADDRSTRLEN];

	if (n != 1 && n != 4)
		return false;
	if (!inet_ntop(n == 1 ? AF_INET : AF_INET6, words, buf, sizeof(buf)))
		return false;
	json_str(p->t, buf);
	return true;
}

static void put_repeated(struct putter *p, const ProtobufCFieldDescriptor *f, const struct show *s,
			 const ProtobufCMessage *msg, bool hex)
{
	const char *base = (const char *)msg;
	size_t n, size = wire_value_size(f->type);
	const char *elements;

	memcpy(&n, base + f->quantifier_offset, sizeof(n));
	if (!n)
		return;
	memcpy(&elements, base + f->offset, sizeof(elements));
	json_key(p->t, f->name);
	json_open(p->t, '[');
	if (s->kind != SHOW_IP || !p->t->pretty || !put_address(p, (const void *)elements, n))
		for (size_t i = 0; i < n; i++)
			put_element(p, f, s, elements + i * size, hex);
	json_shut(p->t, ']');
}

static bool is_set(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *msg)
{
	const char *base = (const char *)msg;
	const void *ptr;

	if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING) {
		memcpy(&ptr, base + f->offset, sizeof(ptr));
		return ptr && ptr != f->default_value;
	}
	return f->label == PROTOBUF_C_LABEL_REQUIRED ||
	       *(const protobuf_c_boolean *)(base + f->quantifier_offset);
}

static void put_field(struct putter *p, const ProtobufCFieldDescriptor *f, const struct show *s,
		      const ProtobufCMessage *msg, bool hex)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		put_repeated(p, f, s, msg, hex);
	} else if (is_set(f, msg)) {
		json_key(p->t, f->name);
		put_element(p, f, s, (const char *)msg + f->offset, hex);
	}
}

/* --------------------------------------------------------- unknown fields */

static uint64_t varint_of(const ProtobufCMessageUnknownField *u)
{
	uint64_t value = 0;

	for (size_t i = 0; i < u->len && i < 10; i++)
		value |= (uint64_t)(u->data[i] & 0x7f) << (7 * i);
	return value;
}

static void put_fixed(struct putter *p, const char *key, uint64_t value)
{
	json_open(p->t, '{');
	json_key(p->t, key);
	json_u64(p->t, value);
	json_shut(p->t, '}');
}

static void put_unknown(struct putter *p, const ProtobufCMessageUnknownField *u)
{
	uint64_t value = 0;
	size_t skip = 0;

	switch (u->wire_type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		json_u64(p->t, varint_of(u));
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		memcpy(&value, u->data, MIN(u->len, (size_t)4));
		put_fixed(p, "fixed32", value);
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		memcpy(&value, u->data, MIN(u->len, (size_t)8));
		put_fixed(p, "fixed64", value);
		break;
	default: /* its length comes first */
		while (skip < u->len && (u->data[skip++] & 0x80))
			;
		put_wrapped_bytes(p, u->data + skip, u->len - skip);
	}
}

struct unknown {
	const ProtobufCMessageUnknownField *field;
	size_t place;
};

static int compare_unknowns(const void *a, const void *b)
{
	const struct unknown *x = a, *y = b;

	if (x->field->tag != y->field->tag)
		return x->field->tag < y->field->tag ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* All values of one number, from `u` on. Returns how many there are. */
static size_t put_unknown_group(struct putter *p, const struct unknown *u, size_t left)
{
	char key[16];
	size_t n = 1;

	while (n < left && u[n].field->tag == u->field->tag)
		n++;
	snprintf(key, sizeof(key), "#%u", u->field->tag);
	json_key(p->t, key);
	if (n > 1)
		json_open(p->t, '[');
	for (size_t i = 0; i < n; i++)
		put_unknown(p, u[i].field);
	if (n > 1)
		json_shut(p->t, ']');
	return n;
}

static void put_unknowns(struct putter *p, const ProtobufCMessage *msg)
{
	size_t n = msg->n_unknown_fields;
	auto_free struct unknown *sorted = n ? xcalloc(n, sizeof(*sorted)) : NULL;

	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct unknown){&msg->unknown_fields[i], i};
	if (n)
		qsort(sorted, n, sizeof(*sorted), compare_unknowns);
	for (size_t i = 0; i < n;)
		i += put_unknown_group(p, sorted + i, n - i);
}

static void put_members(struct putter *p, const ProtobufCMessage *msg, bool hex)
{
	const struct show *shows = show_table(p->c, msg->descriptor);

	for (unsigned int i = 0; i < msg->descriptor->n_fields; i++)
		put_field(p, &msg->descriptor->fields[i], &shows[i], msg, hex);
	put_unknowns(p, msg);
}

void message_put_members(struct json_text *t, struct show_cache *c, const ProtobufCMessage *msg)
{
	struct putter p = {t, c};

	put_members(&p, msg, /* hex= */ false);
}

void message_put(struct json_text *t, struct show_cache *c, const ProtobufCMessage *msg)
{
	json_open(t, '{');
	message_put_members(t, c, msg);
	json_shut(t, '}');
}
