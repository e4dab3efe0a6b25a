/* SPDX-License-Identifier: Apache-2.0 */
/* The GNU build id of an ELF file: tells two builds of equal size apart. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BUILD_ID_WORDS 16

/*
 * Reads it with a few pread()s from a readable descriptor; as the image has it, in little-endian
 * words, the last one padded with zeros. The number of words; 0: not ELF, none, or unreadable.
 */
size_t build_id_read(int fd, uint32_t words[BUILD_ID_WORDS]);
