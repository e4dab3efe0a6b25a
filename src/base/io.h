/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes on descriptors. Negative errno on failure; EINTR is retried. */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All of it or an error; fewer bytes at end of file than asked: -EIO. */
MUST_USE int io_read_full(int fd, void *buf, size_t len);
MUST_USE int io_pread_full(int fd, void *buf, size_t len, uint64_t off);
MUST_USE int io_write_full(int fd, const void *buf, size_t len);
MUST_USE int io_pwrite_full(int fd, const void *buf, size_t len, uint64_t off);
/* Reads a small file under dirfd (procfs, sysfs) as a terminated string into *ret (to free()). */
MUST_USE int io_read_file(int dirfd, const char *path, char **ret, size_t *ret_len);
/* Writes a string to an existing file under dirfd in one write. */
MUST_USE int io_write_file(int dirfd, const char *path, const char *text);
/* Copies len bytes, keeping holes out of it; reflink or copy_file_range where possible. */
MUST_USE int io_copy_range(int in, uint64_t in_off, int out, uint64_t out_off, uint64_t len);
/* Duplicates with CLOEXEC at or above `floor` (3 or more). */
MUST_USE int fd_dup_above(int fd, int floor);
/* Raises our soft limit of open files to the hard one. Returns what holds then. */
uint64_t fd_limit_raise(void);
/* About how many descriptors can be opened still. */
uint64_t fd_limit_left(void);
