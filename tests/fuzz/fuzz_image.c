/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any image file: the kind is the one that its magic says, so that sample images are the corpus.
 * What was read must be writable again, to a record of the same meaning.
 */
#include "fuzz.h"

#include "../lib/imgwalk.h"
#include "base/arena.h"
#include "image/kinds.h"
#include "image/wire.h"

#include <stdlib.h>
#include <string.h>

static uint32_t word_at(const uint8_t *data, size_t size, size_t at)
{
	uint32_t word = 0;

	if (size >= at + sizeof(word))
		memcpy(&word, data + at, sizeof(word));
	return word;
}

static bool kind_of(const uint8_t *data, size_t size, enum img_kind *ret)
{
	uint32_t first = word_at(data, size, 0), second = word_at(data, size, 4);

	for (enum img_kind k = 0; k < IMG_KIND_MAX; k++) {
		uint32_t magic = img_row(k)->magic;

		if (first == magic || second == magic) {
			*ret = k;
			return true;
		}
	}
	return false;
}

/*
 * protobuf-c keeps what it doesn't know, and packs it as it was: in messages inside, that may be
 * broken. Both decoders must agree about all else.
 */
static int encode(void *ctx, const struct imgwalk_record *r, struct err *err)
{
	size_t len = protobuf_c_message_get_packed_size(r->msg);
	struct err why = ERR_INIT;
	ProtobufCMessage *msg;
	uint8_t *data = xcalloc(1, len);

	fuzz_assert(protobuf_c_message_pack(r->msg, data) == len);
	msg = protobuf_c_message_unpack(r->msg->descriptor, NULL, len, data);
	fuzz_assert(msg || wire_check(r->msg->descriptor, data, len, &why) < 0);
	if (msg) {
		fuzz_assert(protobuf_c_message_get_packed_size(msg) == len);
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	free(data);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	char name[IMG_NAME_MAX];
	enum img_kind kind;
	int r;

	if (!kind_of(data, size, &kind))
		return 0;
	img_name(kind, 1, name);
	fuzz_file(name, data, size, size);
	r = imgwalk(fuzz_dir(), kind, 1, encode, NULL, &err);
	fuzz_assert((r < 0) == (err.code < 0));
	fuzz_assert(r >= 0 || strstr(err.text, name));
	return 0;
}
