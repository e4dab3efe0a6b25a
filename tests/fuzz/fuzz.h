/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzzer is one function that takes bytes as they might come from outside, and finishes whatever
 * they are: libFuzzer drives it (clang), or fuzz_main.c (a plain test over the corpus).
 */
#pragma once

#include "image/image.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A directory of this process for files that the readers open; removed when it ends. */
const struct img_dir *fuzz_dir(void);
/* Makes `name` in it have these contents, and be of this length (sparse behind the contents). */
void fuzz_file(const char *name, const uint8_t *data, size_t size, uint64_t length);

/* What must hold for any input; stays on in release builds. */
#define fuzz_assert(what)                                                                          \
	do {                                                                                       \
		if (!(what))                                                                       \
			__builtin_trap();                                                          \
	} while (0)
