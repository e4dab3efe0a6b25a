/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the records of checkpoint images, one JSON object to a line, and what image_check() says:
 *
 *	imgdump DIR [NAME...]      all images, or these
 *	imgdump --check DIR...     OK, or what is wrong; the exit status tells as well
 *
 * {"image": "fs-7.img", "at": 8, "type": "fs_entry", "raw": 0, "msg": {"cwd_id": 6, ...}}
 *
 * `at` is the record's place in the file, `raw` how many bytes follow it. Bytes are hexadecimal,
 * enum values have their names, absent optional fields are left out.
 */
#include "imgwalk.h"

#include "base/auto.h"
#include "base/vec.h"
#include "image/check.h"
#include "image/sums.h"
#include "image/wire.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef const ProtobufCFieldDescriptor field_t;

static void print_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_bytes(const ProtobufCBinaryData *b)
{
	putchar('"');
	for (size_t i = 0; i < b->len; i++)
		printf("%02x", b->data[i]);
	putchar('"');
}

static void print_enum(field_t *f, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	if (v)
		printf("\"%s\"", v->name);
	else
		printf("%d", value);
}

static void print_message(const ProtobufCMessage *msg);

static void print_value(field_t *f, const void *p)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		printf("%" PRId32, *(const int32_t *)p);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		printf("%" PRIu32, *(const uint32_t *)p);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		printf("%" PRId64, *(const int64_t *)p);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		printf("%" PRIu64, *(const uint64_t *)p);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		printf("%s", *(const protobuf_c_boolean *)p ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		print_enum(f, *(const int *)p);
		break;
	case PROTOBUF_C_TYPE_STRING:
		print_string(*(char *const *)p);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		print_bytes(p);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		print_message(*(ProtobufCMessage *const *)p);
		break;
	default: /* the schema has no floating point */
		printf("null");
	}
}

static const void *at(const ProtobufCMessage *msg, unsigned int offset)
{
	return (const char *)msg + offset;
}

static bool is_there(const ProtobufCMessage *msg, field_t *f)
{
	if (f->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)at(msg, f->quantifier_offset) > 0;
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE) {
		const void *p = *(void *const *)at(msg, f->offset);

		return p && p != f->default_value;
	}
	return *(const protobuf_c_boolean *)at(msg, f->quantifier_offset);
}

static void print_field(const ProtobufCMessage *msg, field_t *f)
{
	const char *array;
	size_t n;

	printf("\"%s\": ", f->name);
	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		print_value(f, at(msg, f->offset));
		return;
	}
	n = *(const size_t *)at(msg, f->quantifier_offset);
	array = *(const char *const *)at(msg, f->offset);
	putchar('[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			printf(", ");
		print_value(f, array + i * wire_value_size(f->type));
	}
	putchar(']');
}

static void print_message(const ProtobufCMessage *msg)
{
	bool first = true;

	putchar('{');
	for (unsigned int i = 0; i < msg->descriptor->n_fields; i++) {
		field_t *f = &msg->descriptor->fields[i];

		if (!is_there(msg, f))
			continue;
		if (!first)
			printf(", ");
		first = false;
		print_field(msg, f);
	}
	putchar('}');
}

/* -------------------------------------------------------------------------- */

static int print_record(void *ctx, const struct imgwalk_record *r, struct err *err)
{
	const char *name = ctx;

	printf("{\"image\": \"%s\", \"at\": %" PRIu64 ", \"type\": \"%s\", \"raw\": %" PRIu64
	       ", \"msg\": ",
	       name, r->at, r->msg->descriptor->name, r->raw);
	print_message(r->msg);
	printf("}\n");
	return 0;
}

/* 0, or 1 if it is broken. What isn't an image of records is passed over. */
static int print_image(const struct img_dir *dir, const char *name)
{
	struct err err = ERR_INIT;
	enum img_kind kind;
	uint64_t id;

	if (!imgwalk_kind(name, &kind, &id) ||
	    imgwalk(dir, kind, id, print_record, (void *)name, &err) == 0)
		return 0;
	fflush(stdout);
	fprintf(stderr, "%s\n", err.text);
	return 1;
}

static int print_all(const struct img_dir *dir)
{
	struct dirent **list;
	int bad = 0, n = scandir(dir->path, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		bad |= print_image(dir, list[i]->d_name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return bad;
}

static int check(struct img_dir *dir)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	int r;

	dir->sums = img_sums_new();
	r = img_sums_read(dir, &err);
	if (r == 0)
		r = image_check(dir, a, &err);
	printf("%s: %s\n", dir->path, r < 0 ? err.text : "OK");
	img_sums_free(dir->sums);
	arena_free(a);
	return r < 0;
}

static int open_dir(const char *path, struct img_dir *dir)
{
	*dir = (struct img_dir){.path = path};
	dir->fd = dir->work_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		perror(path);
	return dir->fd;
}

int main(int argc, char **argv)
{
	bool check_only = argc > 1 && strcmp(argv[1], "--check") == 0;
	struct img_dir dir;
	int bad = 0;

	if (argc < 2 + check_only) {
		fprintf(stderr, "usage: imgdump DIR [NAME...] | imgdump --check DIR...\n");
		return 2;
	}
	for (int i = 2; check_only && i < argc; i++) {
		if (open_dir(argv[i], &dir) < 0)
			return 2;
		bad |= check(&dir);
		close(dir.fd);
	}
	if (check_only)
		return bad;
	if (open_dir(argv[1], &dir) < 0)
		return 2;
	if (argc == 2)
		bad = print_all(&dir);
	for (int i = 2; i < argc; i++)
		bad |= print_image(&dir, argv[i]);
	return bad;
}
