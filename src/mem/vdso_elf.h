/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of a vDSO image. The bytes may come from anywhere: all of them are checked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Looks up a function in the dynamic symbol table. Fills its offset and size and says true, or
 * false if there is no such function (or no sound table).
 */
bool vdso_find(const uint8_t *image, size_t len, const char *name, uint64_t *ret_off,
	       uint64_t *ret_size);
