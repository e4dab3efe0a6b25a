/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of image file that has a magic: its name in JSON texts, the types of its records, and
 * what follows them. Names and numbers: ../shared/interfaces/CRIT.md section 2. More kinds than
 * image.h knows, which has those that are written today; two kinds can share a magic (stats).
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

/* What follows the records: payload.h. */
enum payload {
	PAYLOAD_NONE,
	PAYLOAD_PIPE,
	PAYLOAD_SK_QUEUE,
	PAYLOAD_TCP_STREAM,
	PAYLOAD_BPFMAP,
	PAYLOAD_SEM,
	PAYLOAD_SHM,
	PAYLOAD_MSG,
	PAYLOAD_GHOST,
	PAYLOAD_INTEGRITY, /* a checksum at the end of the file */
};

/* The word in front of the magic. */
enum format_head { HEAD_COMMON, HEAD_SERVICE, HEAD_BARE };

struct format {
	const char *name;
	uint32_t magic;
	const ProtobufCMessageDescriptor *type;
	const ProtobufCMessageDescriptor *rest; /* of all records but the first; NULL: the same */
	enum payload payload;
	enum format_head head;
};

/* NULL: unknown. */
const struct format *format_by_magic(uint32_t magic);
const struct format *format_by_name(const char *name);
/* The words for heads: "common", "service", "none". -1: no such word. */
const char *format_head_word(enum format_head head);
int format_head_by_word(const char *word);
