/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C (Castagnoli), as in iSCSI, ext4 and btrfs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Continues a checksum; starts at 0. Where the CPU has instructions for it, a page takes about as
 * long as reading it from memory does. Safe in any thread.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same as with `len` zeros, in the time of some multiplications: for holes. */
uint32_t crc32c_zeros(uint32_t crc, uint64_t len);
/* The checksum of two pieces, from that of each; `len` is the second one's. */
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t len);

/* The same without the CPU's help: for machines that have none, and to compare with. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len);
