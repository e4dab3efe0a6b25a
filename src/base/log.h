/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: the one global of the program.
 *
 * The format is a literal without newline or prefix; arguments are numbers and strings without
 * side effects. Who returns an error doesn't log it. Levels (-v): 1 errors, 2 +warnings (the
 * default), 3 +info and timestamps, 4 +debug. A line is one write(2), so that processes can share
 * the file. Line format: ../shared/interfaces/CLI.md 5.3.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_NONE = 0, LOG_ERROR = 1, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4 };

/* Starts with stderr. The time of the first call is the log's zero. */
void log_init(int level);
/* Redirects to fd (kept, CLOEXEC, dup'ed above 2 by the caller; -1 = stderr). */
void log_set_fd(int fd);
int log_fd(void);
int log_level(void);

void log_write(enum log_level level, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if (log_level() >= (level))                                                        \
			log_write((level), __FILE__, __LINE__, __VA_ARGS__);                       \
	} while (0)
