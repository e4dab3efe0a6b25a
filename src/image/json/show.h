/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fields are shown to people: numbers as hexadecimal, as sums of flags, as words, as devices or
 * addresses. Display options of ../shared/formats/messages.tsv, values of
 * ../shared/interfaces/CRIT.md section 3. Both directions stand here: what show_value() writes,
 * show_parse() reads.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

enum show_kind {
	SHOW_PLAIN,
	SHOW_HEX,
	SHOW_DEV,  /* MAJOR:MINOR, as the kernel packs it: 12 and 20 bits */
	SHOW_ODEV, /* MAJOR:MINOR, as stat() packs it */
	SHOW_FLAGS,
	SHOW_WORD,
	SHOW_IP,	/* a repeated field of 32-bit words that is one address */
	SHOW_UNIX_NAME, /* bytes as quoted-printable text; not only for people */
};

struct show_names;

struct show {
	enum show_kind kind;
	const struct show_names *names; /* SHOW_FLAGS, SHOW_WORD */
};

/* Finds rows of the table once per message type. */
struct show_cache {
	struct map places;
	VEC(const struct show *) tables;
	struct arena *a; /* the caller's */
};
void show_cache_done(struct show_cache *c);
/* One for each field of the type, in the order of its descriptor. */
const struct show *show_table(struct show_cache *c, const ProtobufCMessageDescriptor *type);

/* The text of a number of this kind into buf. False: it is shown as a number. */
bool show_value(const struct show *s, uint64_t value, char *buf, size_t size);
/* The number that a text means: of this kind, or any number with its base's prefix. */
bool show_parse(const struct show *s, const char *text, uint64_t *ret);

#define SHOW_TEXT_MAX 512
