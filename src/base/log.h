/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: the one global of the program.
 *
 * The format is a literal without newline or prefix; arguments are numbers and strings without
 * side effects. Who returns an error doesn't log it. Levels (-v): 1 errors, 2 +warnings (the
 * default), 3 +info and timestamps, 4 +debug. A line is one write(2), so that processes can share
 * the file. Line format: ../shared/interfaces/CLI.md 5.3.
 *
 * A line goes out as text, as a binary record (log_binary.h), or as both. Each call site has a
 * constant of its own in a section of the executable: their array is the table that a binary log
 * carries in its head, and a site's place in it is all that a record says of format and place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_NONE = 0, LOG_ERROR = 1, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4 };

/* How many bytes the steps of a site can take (log_sites.h). */
#define LOG_STEPS_MAX 42

/*
 * Of just this size and alignment, so that there is nothing between two of them: compilers align
 * big objects more than they have to. (The sanitizers leave objects in named sections alone.)
 */
struct log_site {
	const char *fmt;
	const char *file;
	uint32_t line;
	uint8_t level;
	/* How to record the arguments; written before the binary log begins. */
	uint8_t nsteps;
	uint8_t steps[LOG_STEPS_MAX];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct log_site) == 64, "call sites are an array");

/* The highest level that anybody wants. Read by each call: not through a function. */
extern int log_threshold __attribute__((visibility("hidden")));

/* Starts with stderr. The time of the first call is the log's zero. */
void log_init(int level);
/* Redirects to fd (kept, CLOEXEC, dup'ed above 2 by the caller; -1 = stderr). */
void log_set_fd(int fd);
int log_fd(void);
static inline int log_level(void)
{
	return log_threshold;
}

/*
 * With a binary log open (log_binary.h): records on or off, and the highest level that goes out
 * as text, too. Off: all of it is text.
 */
void log_set_binary(bool on, enum log_level text_level);
/* What follows is for the text alone. */
void log_pause_binary(bool pause);

void log_write(const struct log_site *site, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#define log_first_(first, ...) first
#define log_at(level_, ...)                                                                        \
	do {                                                                                       \
		static struct log_site log_site_ __attribute__((section("torpor_log"), used)) = {  \
			.fmt = log_first_(__VA_ARGS__, 0),                                         \
			.file = __FILE__,                                                          \
			.line = __LINE__,                                                          \
			.level = (level_),                                                         \
		};                                                                                 \
		if (__builtin_expect(log_threshold >= (level_), (level_) < LOG_DEBUG))             \
			log_write(&log_site_, __VA_ARGS__);                                        \
	} while (0)
