/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing side of binary logs (log_file.h): a shared mapping of the file, in which any thread
 * of any process takes space by one atomic instruction and writes its record. What is in the
 * mapping is in the file, whatever becomes of torpor.
 *
 * There is one binary log, a part of the log's sink. Processes that are forked write to it without
 * further ado.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"

#include <stdarg.h>

/*
 * Begins a log in a new file, which takes the place of an older log (only of a log), for the sites
 * of this program; log_set_binary() turns it on. Needs a file system that can allocate space and
 * map files: where that fails, nothing is left behind.
 */
MUST_USE int log_binary_open(const char *path, struct err *err);
/* Nothing can be added any more, by forked processes either. The file has its final length. */
void log_binary_close(void);
/* The descriptor of an open log, else negative. */
int log_binary_fd(void);
/* Removes `path` if it is a binary log. */
void log_binary_remove(const char *path);

/* One record. Never blocks, never fails: where there is no space the line is counted as lost. */
void log_binary_write(const struct log_site *site, uint64_t ns, const char *fmt, va_list ap);

/*
 * For a handler of SIGBUS: was it the log's mapping (somebody cut the file, the disk is broken)?
 * Then there is memory now where it went wrong, the log is off, and the program can go on.
 */
bool log_binary_fault(const void *addr);

/* log.c: CLOCK_MONOTONIC at the log's zero. */
uint64_t log_start_ns(void);
