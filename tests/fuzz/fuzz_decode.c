/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image file: what decodes to JSON, plain or for people, is encoded to the same
 * bytes. Bytes without a magic are taken for one of the files that have none.
 */
#include "fuzz_files.h"

#include "base/auto.h"
#include "image/json/formats.h"
#include "image/json/json.h"
#include "image/kinds.h"

#include <string.h>

static const char *const raw_names[] = {"pages-1.img", "sums-1.img", "nftables-1.img", "rule-1.img",
					"netns-ct-1.img"};

static const char *name_for(const uint8_t *data, size_t size)
{
	uint32_t word = 0;

	memcpy(&word, data, MIN(size, sizeof(word)));
	if (word == IMG_MAGIC_COMMON || word == IMG_MAGIC_SERVICE || format_by_magic(word))
		return "x.img";
	return raw_names[size % ARRAY_SIZE(raw_names)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int in = fuzz_memfd(data, size), text = fuzz_memfd("", 0);
	auto_close int out = fuzz_memfd("", 0);
	auto_free uint8_t *again = NULL;
	struct err err = ERR_INIT;
	size_t n;

	if (json_decode_image(&(struct json_job){.in_fd = in,
						 .out_fd = text,
						 .name = name_for(data, size),
						 .pretty = size % 2},
			      &err) < 0) {
		fuzz_assert(err.code < 0 && err.text[0]);
		return 0;
	}
	fuzz_assert(lseek(text, 0, SEEK_SET) == 0);
	fuzz_assert(
		json_encode_image(&(struct json_job){.in_fd = text, .out_fd = out, .name = "text"},
				  &err) == 0);
	again = fuzz_contents(out, &n);
	fuzz_assert(n == size && memcmp(again, data, n) == 0);
	return 0;
}
