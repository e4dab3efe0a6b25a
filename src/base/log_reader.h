/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading side of binary logs (log_file.h), of any build and any age. Every byte is hostile:
 * what can't be a record is passed over up to the next that can, and counted.
 *
 *	struct log_reader *r;
 *	struct log_entry e;
 *
 *	TRY(log_reader_open(fd, name, &r, err));
 *	while ((n = log_reader_next(r, false, &e, err)) > 0)
 *		...
 *	log_reader_free(r);
 */
#pragma once

#include "base/auto.h"
#include "base/err.h"
#include "base/log_format.h"

#include <sys/types.h>

struct log_reader;

/* A call site, from the log's table. */
struct log_place {
	uint32_t line;
	uint8_t level; /* enum log_level */
	uint8_t nkinds;
	const uint8_t *kinds;
	const char *file, *fmt;
};

/* Valid until the next call. */
struct log_entry {
	uint64_t ns; /* since the log's zero */
	pid_t pid, tid;
	const struct log_place *place;
	size_t nvalues;
	const struct log_value *values;
};

struct log_about {
	uint64_t wall_ns; /* the log's zero, since 1970 */
	pid_t pid;
	uint32_t level;
	char torpor[32], boot_id[40];
	const char *cmdline; /* words with blanks between them */
};

struct log_losses {
	uint64_t damaged;    /* bytes that aren't what was written, or were cut off */
	uint64_t unfinished; /* places where a writer died, or is writing just now */
	uint64_t dropped;    /* lines for which the writer had no space */
	bool table;	     /* the head isn't what was written */
};

/*
 * `name` is for errors. The descriptor stays the caller's; a pipe will do. -EINVAL: not a binary
 * log, or one of another version.
 */
MUST_USE int log_reader_open(int fd, const char *name, struct log_reader **ret, struct err *err);
void log_reader_free(struct log_reader *r); /* accepts NULL */
DEFINE_AUTO(log_reader, log_reader_free)
#define auto_log_reader __attribute__((cleanup(auto_log_reader_)))

/*
 * 1: an entry; 0: there is no more, as yet. `patient`: what isn't finished may be soon, it isn't
 * passed over.
 */
MUST_USE int log_reader_next(struct log_reader *r, bool patient, struct log_entry *ret,
			     struct err *err);
/* Goes on near the end, if the log says where that is: `bytes` before it, or a bit less. */
void log_reader_near_end(struct log_reader *r, uint64_t bytes);
/* Will nobody write to it any more? */
bool log_reader_is_complete(struct log_reader *r);

const struct log_about *log_reader_about(const struct log_reader *r);
/* Of what was read so far. */
struct log_losses log_reader_losses(struct log_reader *r);

/* The message alone. Returns the length of what is in buf, which is terminated. */
size_t log_entry_message(const struct log_entry *e, char *buf, size_t size);
/* The line as it would stand in a text log of this level, without newline. */
size_t log_entry_line(const struct log_reader *r, const struct log_entry *e, char *buf,
		      size_t size);
/* "error", "warn", "info", "debug"; "status" for the last words of a command. */
const char *log_level_name(uint8_t level);
