/* SPDX-License-Identifier: Apache-2.0 */
/* The cross checks of a restore, with one image of a set replaced. */
#include "fuzz_set.h"

#include "base/arena.h"
#include "image/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct img_dir *dir = fuzz_set_with(data, size);
	struct err err = ERR_INIT;
	struct arena *a;
	int r;

	if (!dir)
		return 0;
	a = arena_new();
	r = image_check(dir, a, &err);
	arena_free(a);
	fuzz_assert((r < 0) == (err.code < 0));
	fuzz_assert(r >= 0 || strstr(err.text, ".img"));
	return 0;
}
