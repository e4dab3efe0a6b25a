/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as the JSON of an image: what can be encoded is decoded to a JSON that is encoded to the
 * same bytes.
 */
#include "fuzz_files.h"

#include "base/auto.h"
#include "image/json/json.h"

#include <string.h>

static int encode(int in, int out, struct err *err)
{
	fuzz_assert(lseek(in, 0, SEEK_SET) == 0);
	return json_encode_image(&(struct json_job){.in_fd = in, .out_fd = out, .name = "text"},
				 err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int in = fuzz_memfd(data, size), image = fuzz_memfd("", 0);
	auto_close int text = fuzz_memfd("", 0), again = fuzz_memfd("", 0);
	auto_free uint8_t *first = NULL, *second = NULL;
	struct err err = ERR_INIT;
	size_t n, m;

	if (encode(in, image, &err) < 0) {
		fuzz_assert(err.code < 0 && err.text[0]);
		return 0;
	}
	first = fuzz_contents(image, &n);
	/* One of raw data has no magic, and so no form that decoding by itself would know. */
	fuzz_assert(lseek(image, 0, SEEK_SET) == 0);
	if (json_decode_image(
		    &(struct json_job){
			    .in_fd = image, .out_fd = text, .name = "x.img", .pretty = size % 2},
		    &err) < 0)
		return 0;
	fuzz_assert(encode(text, again, &err) == 0);
	second = fuzz_contents(again, &m);
	fuzz_assert(n == m && memcmp(first, second, n) == 0);
	return 0;
}
