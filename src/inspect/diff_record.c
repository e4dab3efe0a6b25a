/* SPDX-License-Identifier: Apache-2.0 */
/* Two records of one type, compared field by field along the description of their type. */
#include "inspect/diff.h"

#include "base/auto.h"
#include "image/wire.h"

#include <inttypes.h>
#include <string.h>

#define PATH_LEN  256
#define VALUE_LEN 96

struct walk {
	const char *const *skip;
	diff_field_fn *fn;
	void *arg;
	char path[PATH_LEN];
};

static bool is_skipped(const struct walk *w, const char *name)
{
	for (const char *const *s = w->skip; s && *s; s++)
		if (strcmp(*s, name) == 0)
			return true;
	return false;
}

static const void *member(const ProtobufCMessage *m, unsigned int offset)
{
	return (const char *)m + offset;
}

static bool is_signed(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
	       type == PROTOBUF_C_TYPE_SFIXED32 || type == PROTOBUF_C_TYPE_INT64 ||
	       type == PROTOBUF_C_TYPE_SINT64 || type == PROTOBUF_C_TYPE_SFIXED64;
}

/* -------------------------------------------------------------- one value */

static bool is_equal(ProtobufCType type, const void *a, const void *b)
{
	const ProtobufCBinaryData *x = a, *y = b;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		return strcmp(*(char *const *)a, *(char *const *)b) == 0;
	case PROTOBUF_C_TYPE_BYTES:
		return x->len == y->len && (!x->len || memcmp(x->data, y->data, x->len) == 0);
	default:
		return memcmp(a, b, wire_value_size(type)) == 0;
	}
}

/* Masks and addresses are read in hexadecimal. */
static bool is_hex(const char *name)
{
	static const char *const words[] = {"flags",	"sigset", "mask",   "start",  "end",
					    "addr",	"mode",	  "prot",   "status", "sigaction",
					    "restorer", "rla",	  "pointer"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(name, words[i]))
			return true;
	return false;
}

static void print_number(const ProtobufCFieldDescriptor *f, const void *v, char *out)
{
	uint64_t u = 0;
	int64_t i;

	if (wire_value_size(f->type) == 8) {
		memcpy(&u, v, 8);
		i = (int64_t)u;
	} else {
		uint32_t word;

		memcpy(&word, v, 4);
		u = word;
		i = (int32_t)word;
	}
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		snprintf(out, VALUE_LEN, "%s", u ? "yes" : "no");
	else if (is_signed(f->type))
		snprintf(out, VALUE_LEN, "%" PRId64, i);
	else
		snprintf(out, VALUE_LEN, is_hex(f->name) ? "%#" PRIx64 : "%" PRIu64, u);
}

static void print_value(const ProtobufCFieldDescriptor *f, const void *v, char out[VALUE_LEN])
{
	const ProtobufCBinaryData *bytes = v;
	const ProtobufCEnumValue *e;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		snprintf(out, VALUE_LEN, "'%.80s'", *(char *const *)v);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		snprintf(out, VALUE_LEN, "%zu bytes", bytes->len);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		snprintf(out, VALUE_LEN, "there");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		e = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)v);
		if (e)
			snprintf(out, VALUE_LEN, "%s", e->name);
		else
			snprintf(out, VALUE_LEN, "%d", *(const int *)v);
		break;
	default:
		print_number(f, v, out);
	}
}

/* -------------------------------------------------------------------- fields */

static void walk_messages(struct walk *w, const ProtobufCMessage *a, const ProtobufCMessage *b);

static void compare_values(struct walk *w, const ProtobufCFieldDescriptor *f, const void *a,
			   const void *b)
{
	char x[VALUE_LEN] = "-", y[VALUE_LEN] = "-";

	if (a && b && f->type == PROTOBUF_C_TYPE_MESSAGE) {
		walk_messages(w, *(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
		return;
	}
	if (a && b && is_equal(f->type, a, b))
		return;
	if (a)
		print_value(f, a, x);
	if (b)
		print_value(f, b, y);
	w->fn(w->arg, w->path, x, y);
}

/* NULL: an optional field that isn't there. */
static const void *single(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
	const void *v = member(m, f->offset);

	if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING)
		return *(void *const *)v ? v : NULL;
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL &&
	    !*(const protobuf_c_boolean *)member(m, f->quantifier_offset))
		return NULL;
	return v;
}

static size_t elements(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m,
		       const char **ret)
{
	*ret = *(char *const *)member(m, f->offset);
	return *(const size_t *)member(m, f->quantifier_offset);
}

/* Each appends to the path, and returns what to cut it back to. */
static size_t enter_field(struct walk *w, const char *name)
{
	size_t len = strlen(w->path);

	snprintf(w->path + len, PATH_LEN - len, "%s%s", len ? "." : "", name);
	return len;
}

static size_t enter_element(struct walk *w, size_t i)
{
	size_t len = strlen(w->path);

	snprintf(w->path + len, PATH_LEN - len, "[%zu]", i);
	return len;
}

/* Of long arrays, such as registers, the number of differences is enough. */
static void compare_arrays(struct walk *w, const ProtobufCFieldDescriptor *f,
			   const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	const char *x, *y;
	size_t n[2] = {elements(f, a, &x), elements(f, b, &y)}, size = wire_value_size(f->type);
	bool messages = f->type == PROTOBUF_C_TYPE_MESSAGE;
	size_t both = MIN(n[0], n[1]), wrong = 0;
	char p[VALUE_LEN], q[VALUE_LEN];

	for (size_t i = 0; i < both; i++) {
		size_t len = enter_element(w, i);

		if (messages || both <= 4)
			compare_values(w, f, x + i * size, y + i * size);
		else
			wrong += !is_equal(f->type, x + i * size, y + i * size);
		w->path[len] = 0;
	}
	snprintf(p, sizeof(p), "%zu values", n[0]);
	snprintf(q, sizeof(q), "%zu values", n[1]);
	if (wrong)
		snprintf(q, sizeof(q), "%zu values, %zu of them others", n[1], wrong);
	if (wrong || n[0] != n[1])
		w->fn(w->arg, w->path, p, q);
}

static void walk_messages(struct walk *w, const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	const ProtobufCMessageDescriptor *d = a->descriptor;

	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		size_t len;

		if (is_skipped(w, f->name))
			continue;
		len = enter_field(w, f->name);
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			compare_arrays(w, f, a, b);
		else if (single(f, a) || single(f, b))
			compare_values(w, f, single(f, a), single(f, b));
		w->path[len] = 0;
	}
}

void diff_records(const ProtobufCMessage *a, const ProtobufCMessage *b, const char *const *skip,
		  diff_field_fn *fn, void *arg)
{
	struct walk w = {.skip = skip, .fn = fn, .arg = arg};

	walk_messages(&w, a, b);
}

/* ------------------------------------------------------------------- records */

struct row_maker {
	struct diff *d;
	const char *image, *noise;
};

static void add_row(void *arg, const char *path, const char *a, const char *b)
{
	const struct row_maker *m = arg;
	json_t *row = json_pack("{ss ss so so}", "image", m->image, "field", path, "a",
				json_string_of(a), "b", json_string_of(b));

	if (m->noise && strncmp(path, m->noise, strlen(m->noise)) == 0)
		json_object_set_new(row, "noise", json_true());
	diff_add(m->d, "records", row);
}

void diff_records_of(struct diff *d, const char *image, const ProtobufCMessage *a,
		     const ProtobufCMessage *b, const char *const *skip, const char *noise)
{
	struct row_maker m = {.d = d, .image = image, .noise = noise};

	diff_records(a, b, skip, add_row, &m);
}
