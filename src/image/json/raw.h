/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a checkpoint that have no magic: pages, checksums of pages, text and netlink messages of
 * network tools, archives. What one is tells its name alone. As JSON:
 *
 *	{"magic": "RAW", "kind": "pages", "entries": [...]}
 *
 * with entries, in the order of the file, of these forms:
 *
 *	{"offset": N, "extra": BASE64}		bytes
 *	{"offset": N, "zeros": N}		so many zeros
 *	{"text": "..."}				a line, with its end
 *	{"crc32c": [N, ...]}			32-bit words
 *	{"word": N}				one of them: the magic of iproute2
 *	{"len": N, "type": N, "flags": N, "seq": N, "pid": N, "extra": BASE64}	struct nlmsghdr and
 *what follows
 */
#pragma once

#include "image/json/input.h"
#include "image/json/output.h"
#include "image/json/split.h"
#include "image/json/text.h"

#define RAW_MAGIC "RAW"

struct raw_kind;
/* By the last part of the name. NULL: it isn't that of such a file. */
const struct raw_kind *raw_kind_of(const char *name);
/* The whole text around the entries, and these. Returns how many there were. */
MUST_USE int64_t raw_decode(const struct raw_kind *kind, struct input *in, struct json_text *t,
			    bool sizes_only, struct err *err);
/* The bytes of one entry. */
MUST_USE int raw_encode_entry(const json_t *entry, const struct split *split, struct output *out,
			      struct arena *a, struct err *err);
