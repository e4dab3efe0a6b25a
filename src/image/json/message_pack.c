/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON objects to packed messages: message.h. The wire form is written as it goes, in the order of
 * the fields' numbers, as every writer of images does: no message is built in between.
 */
#include "image/json/message.h"

#include "base/auto.h"
#include "base/parse.h"
#include "image/json/quoted.h"

#include <arpa/inet.h>
#include <string.h>

#define DEPTH_MAX 64

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

struct bytes {
	uint8_t *data;
	size_t len, cap;
};

struct packer {
	struct show_cache *c;
	struct arena *a;
	struct err *err;
};

static void auto_bytes_(struct bytes *b)
{
	free(b->data);
}
#define auto_bytes __attribute__((cleanup(auto_bytes_)))

static int pack_members(struct packer *p, json_t *object, const ProtobufCMessageDescriptor *type,
			const char *const besides[], unsigned int depth, struct bytes *out);

/* ------------------------------------------------------------- wire bytes */

static void put(struct bytes *b, const void *data, size_t len)
{
	if (len > b->cap - b->len) {
		b->cap = 2 * (b->len + len + 16);
		b->data = xrealloc(b->data, b->cap, 1);
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put_varint(struct bytes *b, uint64_t value)
{
	uint8_t buf[10];
	size_t n = 0;

	while (value >= 0x80) {
		buf[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	buf[n++] = (uint8_t)value;
	put(b, buf, n);
}

static void put_tag(struct bytes *b, uint32_t number, enum wire_type wire)
{
	put_varint(b, (uint64_t)number << 3 | wire);
}

static void put_blob(struct bytes *b, uint32_t number, const void *data, size_t len)
{
	put_tag(b, number, WIRE_LEN);
	put_varint(b, len);
	put(b, data, len);
}

/* ----------------------------------------------------------------- values */

static const char *type_word(const json_t *v)
{
	static const char *const words[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",	 [JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",	     [JSON_NULL] = "null",
	};

	return words[json_typeof(v)];
}

static int wrong(struct packer *p, const json_t *v, const char *wanted)
{
	if (json_is_string(v))
		return err_input(p->err, "'%.100s' isn't %s", json_string_value(v), wanted);
	return err_input(p->err, "%s isn't %s", type_word(v), wanted);
}

static bool is_narrow(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
	       type == PROTOBUF_C_TYPE_SFIXED32 || type == PROTOBUF_C_TYPE_ENUM;
}

static int check_width(struct packer *p, const ProtobufCFieldDescriptor *f, const json_t *v,
		       uint64_t value)
{
	int64_t s = (int64_t)value;

	if (is_narrow(f->type) && (s < INT32_MIN || s > INT32_MAX))
		return wrong(p, v, "a number of 32 bits with a sign");
	if ((f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_FIXED32) &&
	    value > UINT32_MAX)
		return wrong(p, v, "a number of 32 bits");
	return 0;
}

static int take_int(struct packer *p, const ProtobufCFieldDescriptor *f, const struct show *s,
		    json_t *v, uint64_t *ret)
{
	const ProtobufCEnumValue *e;

	if (json_is_integer(v)) {
		*ret = (uint64_t)json_integer_value(v);
		if (json_integer_value(v) < 0 &&
		    (f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_FIXED64))
			return err_input(p->err, "a number below zero");
		return check_width(p, f, v, *ret);
	}
	if (!json_is_string(v))
		return wrong(p, v, "a number");
	if (f->type == PROTOBUF_C_TYPE_ENUM) {
		e = protobuf_c_enum_descriptor_get_value_by_name(f->descriptor,
								 json_string_value(v));
		if (e) {
			*ret = (uint64_t)(int64_t)e->value;
			return 0;
		}
	}
	if (!show_parse(s, json_string_value(v), ret))
		return wrong(p, v,
			     f->type == PROTOBUF_C_TYPE_ENUM ? "one of the known values"
							     : "a number");
	return check_width(p, f, v, *ret);
}

int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static bool is_space(char c)
{
	return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

int base64_decode(const char *text, struct arena *a, uint8_t **ret, size_t *ret_len,
		  struct err *err)
{
	uint8_t *out = arena_alloc(a, strlen(text) / 4 * 3 + 4);
	uint32_t bits = 0;
	size_t len = 0, n = 0;

	for (; *text && *text != '='; text++) {
		int d = base64_digit(*text);

		if (is_space(*text))
			continue;
		if (d < 0)
			return err_input(err, "not base64: '%c' in it", *text);
		bits = bits << 6 | (uint32_t)d;
		if (++n % 4 == 0) {
			out[len++] = (uint8_t)(bits >> 16);
			out[len++] = (uint8_t)(bits >> 8);
			out[len++] = (uint8_t)bits;
		}
	}
	for (; *text; text++)
		if (*text != '=' && !is_space(*text))
			return err_input(err, "not base64: '%c' behind its end", *text);
	if (n % 4 == 1)
		return err_input(err, "not base64: a digit too many");
	if (n % 4 == 2)
		out[len++] = (uint8_t)(bits >> 4);
	if (n % 4 == 3) {
		out[len++] = (uint8_t)(bits >> 10);
		out[len++] = (uint8_t)(bits >> 2);
	}
	*ret = out;
	*ret_len = len;
	return 0;
}

/* {"bytes": BASE64} */
static int take_wrapped(struct packer *p, json_t *v, uint8_t **ret, size_t *ret_len)
{
	json_t *text = json_object_get(v, "bytes");

	if (!json_is_string(text))
		return err_input(p->err, "an object without \"bytes\"");
	return base64_decode(json_string_value(text), p->a, ret, ret_len, p->err);
}

static int take_bytes(struct packer *p, const ProtobufCFieldDescriptor *f, const struct show *s,
		      json_t *v, uint8_t **ret, size_t *ret_len)
{
	if (json_is_object(v))
		return take_wrapped(p, v, ret, ret_len);
	if (!json_is_string(v))
		return wrong(p, v, "a string");
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		*ret = (uint8_t *)arena_str(p->a, json_string_value(v));
		*ret_len = json_string_length(v);
		return 0;
	}
	if (s->kind != SHOW_UNIX_NAME)
		return base64_decode(json_string_value(v), p->a, ret, ret_len, p->err);
	if (!quoted_decode(p->a, json_string_value(v), ret, ret_len))
		return wrong(p, v, "quoted-printable text");
	return 0;
}

/* ----------------------------------------------------------------- fields */

static uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static void put_int(struct bytes *out, const ProtobufCFieldDescriptor *f, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	switch (f->type) {
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SINT64:
		put_tag(out, f->id, WIRE_VARINT);
		put_varint(out, zigzag((int64_t)value));
		break;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		put_tag(out, f->id, WIRE_32);
		put(out, &narrow, sizeof(narrow));
		break;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		put_tag(out, f->id, WIRE_64);
		put(out, &value, sizeof(value));
		break;
	default:
		put_tag(out, f->id, WIRE_VARINT);
		put_varint(out, value);
	}
}

static int pack_real(struct packer *p, const ProtobufCFieldDescriptor *f, json_t *v,
		     struct bytes *out)
{
	double d = json_number_value(v);
	float fl = (float)d;

	if (!json_is_number(v))
		return wrong(p, v, "a number");
	put_tag(out, f->id, f->type == PROTOBUF_C_TYPE_FLOAT ? WIRE_32 : WIRE_64);
	if (f->type == PROTOBUF_C_TYPE_FLOAT)
		put(out, &fl, sizeof(fl));
	else
		put(out, &d, sizeof(d));
	return 0;
}

static int pack_message(struct packer *p, const ProtobufCFieldDescriptor *f, json_t *v,
			unsigned int depth, struct bytes *out)
{
	auto_bytes struct bytes body = {0};

	if (depth >= DEPTH_MAX)
		return err_input(p->err, "nested too deeply");
	TRY(pack_members(p, v, f->descriptor, NULL, depth + 1, &body));
	put_blob(out, f->id, body.data, body.len);
	return 0;
}

static int pack_element(struct packer *p, const ProtobufCFieldDescriptor *f, const struct show *s,
			json_t *v, unsigned int depth, struct bytes *out)
{
	uint64_t value;
	uint8_t *data;
	size_t len;

	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return pack_message(p, f, v, depth, out);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
		TRY(take_bytes(p, f, s, v, &data, &len));
		put_blob(out, f->id, data, len);
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(v))
			return wrong(p, v, "true or false");
		put_tag(out, f->id, WIRE_VARINT);
		put_varint(out, json_is_true(v));
		return 0;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return pack_real(p, f, v, out);
	default:
		TRY(take_int(p, f, s, v, &value));
		put_int(out, f, value);
		return 0;
	}
}

/* ["127.0.0.1"]: the words of one address. False: it isn't one. */
static bool pack_address(const ProtobufCFieldDescriptor *f, json_t *v, struct bytes *out)
{
	const char *text = json_string_value(json_array_get(v, 0));
	uint32_t words[4];
	size_t n;

	if (json_array_size(v) != 1 || !text || !strpbrk(text, ".:"))
		return false;
	n = strchr(text, ':') ? 4 : 1;
	if (inet_pton(n == 4 ? AF_INET6 : AF_INET, text, words) != 1)
		return false;
	for (size_t i = 0; i < n; i++)
		put_int(out, f, words[i]);
	return true;
}

static int pack_repeated(struct packer *p, const ProtobufCFieldDescriptor *f, const struct show *s,
			 json_t *v, unsigned int depth, struct bytes *out)
{
	json_t *element;
	size_t i;

	if (!json_is_array(v))
		return wrong(p, v, "an array");
	if (s->kind == SHOW_IP && pack_address(f, v, out))
		return 0;
	json_array_foreach(v, i, element) if (pack_element(p, f, s, element, depth, out) <
					      0) return err_in(p->err, "[%zu]", i);
	return 0;
}

static int pack_field(struct packer *p, const ProtobufCFieldDescriptor *f, const struct show *s,
		      json_t *v, unsigned int depth, struct bytes *out)
{
	int r = f->label == PROTOBUF_C_LABEL_REPEATED ? pack_repeated(p, f, s, v, depth, out)
						      : pack_element(p, f, s, v, depth, out);

	return r < 0 ? err_in(p->err, "%s", f->name) : 0;
}

/* --------------------------------------------------------- unknown fields */

static int pack_fixed(struct packer *p, json_t *v, uint32_t number, bool wide, struct bytes *out)
{
	static const ProtobufCFieldDescriptor any32 = {.type = PROTOBUF_C_TYPE_FIXED32};
	static const ProtobufCFieldDescriptor any64 = {.type = PROTOBUF_C_TYPE_FIXED64};
	static const struct show plain = {SHOW_PLAIN, NULL};
	uint64_t value;

	TRY(take_int(p, wide ? &any64 : &any32, &plain, v, &value));
	put_tag(out, number, wide ? WIRE_64 : WIRE_32);
	put(out, &value, wide ? 8 : 4);
	return 0;
}

static int pack_unknown(struct packer *p, json_t *v, uint32_t number, struct bytes *out)
{
	static const ProtobufCFieldDescriptor any = {.type = PROTOBUF_C_TYPE_UINT64};
	static const struct show plain = {SHOW_PLAIN, NULL};
	uint64_t value;
	uint8_t *data;
	size_t len;

	if (json_object_get(v, "fixed32"))
		return pack_fixed(p, json_object_get(v, "fixed32"), number, false, out);
	if (json_object_get(v, "fixed64"))
		return pack_fixed(p, json_object_get(v, "fixed64"), number, true, out);
	if (json_is_object(v)) {
		TRY(take_wrapped(p, v, &data, &len));
		put_blob(out, number, data, len);
		return 0;
	}
	TRY(take_int(p, &any, &plain, v, &value));
	put_tag(out, number, WIRE_VARINT);
	put_varint(out, value);
	return 0;
}

/* "#NUMBER", which the type doesn't have. */
static int pack_unknowns(struct packer *p, const char *key, json_t *v,
			 const ProtobufCMessageDescriptor *type, struct bytes *out)
{
	json_t *element;
	uint32_t number;
	size_t i;

	if (parse_u32(key + 1, 10, &number) < 0 || !number || number >= 1u << 29)
		return err_input(p->err, "'%s' isn't the number of a field", key);
	if (protobuf_c_message_descriptor_get_field(type, number))
		return err_input(p->err, "%s: the field has a name", key);
	if (!json_is_array(v))
		return pack_unknown(p, v, number, out) < 0 ? err_in(p->err, "%s", key) : 0;
	json_array_foreach(v, i, element) if (pack_unknown(p, element, number, out) <
					      0) return err_in(p->err, "%s[%zu]", key, i);
	return 0;
}

/* ---------------------------------------------------------------- objects */

static bool is_beside(const char *const besides[], const char *key)
{
	if (key[0] == '@')
		return true;
	for (size_t i = 0; besides && besides[i]; i++)
		if (strcmp(besides[i], key) == 0)
			return true;
	return false;
}

/* What the schema doesn't know, behind all that it does; what nobody knows is refused. */
static int pack_others(struct packer *p, json_t *object, const ProtobufCMessageDescriptor *type,
		       const char *const besides[], struct bytes *out)
{
	const char *key;
	json_t *v;

	json_object_foreach(object, key, v)
	{
		if (is_beside(besides, key) ||
		    protobuf_c_message_descriptor_get_field_by_name(type, key))
			continue;
		if (key[0] != '#')
			return err_input(p->err, "a %s has no field '%.100s'", type->name, key);
		TRY(pack_unknowns(p, key, v, type, out));
	}
	return 0;
}

static int pack_members(struct packer *p, json_t *object, const ProtobufCMessageDescriptor *type,
			const char *const besides[], unsigned int depth, struct bytes *out)
{
	const struct show *shows = show_table(p->c, type);

	if (!json_is_object(object))
		return wrong(p, object, "an object");
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];
		json_t *v = json_object_get(object, f->name);

		if (!v && f->label == PROTOBUF_C_LABEL_REQUIRED)
			return err_input(p->err, "%s: missing; every %s has one", f->name,
					 type->name);
		if (v)
			TRY(pack_field(p, f, &shows[i], v, depth, out));
	}
	return pack_others(p, object, type, besides, out);
}

int message_pack(json_t *object, const ProtobufCMessageDescriptor *type,
		 const char *const besides[], struct show_cache *c, struct arena *a, uint8_t **ret,
		 size_t *ret_len, struct err *err)
{
	struct packer p = {c, a, err};
	auto_bytes struct bytes out = {0};

	TRY(pack_members(&p, object, type, besides, 0, &out));
	*ret = arena_dup(a, out.data, out.len);
	*ret_len = out.len;
	return 0;
}
