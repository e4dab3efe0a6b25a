/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in files without a name, for readers of descriptors. */
#pragma once

#include "fuzz.h"

#include "base/io.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new file with these contents, read from its start. */
static inline int fuzz_memfd(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	fuzz_assert(fd >= 0 && io_pwrite_full(fd, data, size, 0) == 0);
	return fd;
}

/* All of a file; to be freed. */
static inline uint8_t *fuzz_contents(int fd, size_t *ret_size)
{
	struct stat st;
	uint8_t *data;

	fuzz_assert(fstat(fd, &st) == 0);
	*ret_size = (size_t)st.st_size;
	data = malloc(*ret_size + 1);
	fuzz_assert(data && io_pread_full(fd, data, *ret_size, 0) == 0);
	data[*ret_size] = '\0';
	return data;
}
