/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/binary_log.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/log.h"
#include "base/log_binary.h"
#include "base/log_reader.h"

#include <string.h>
#include <sys/stat.h>

#define LAST_LINES 10
#define NEAR_END   (256u << 10) /* bytes of the log in which the last lines are, for sure */

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_wanted(const struct options *o)
{
	switch (o->log_format) {
	case LOG_FORMAT_BINARY:
		return o->verbosity > LOG_NONE;
	case LOG_FORMAT_AUTO:
		return o->verbosity >= LOG_DEBUG;
	default:
		return false;
	}
}

/* FILE's first line, at any level, so that nobody has to look for the rest. */
static void tell(const char *path)
{
	auto_free char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);

	log_at(LOG_NONE, "Debug log in binary, to be read by: torpor log %s%s%s", here ?: "",
	       here ? "/" : "", path);
}

void binary_log_begin(const struct options *o, int fd)
{
	auto_free char *path = NULL;
	struct err err = ERR_INIT;

	if (!is_regular(fd))
		return;
	if (asprintf(&path, "%s.bin", o->log_file) < 0)
		abort(); /* as elsewhere when there is no memory */
	if (!is_wanted(o)) {
		log_binary_remove(path);
		return;
	}
	if (log_binary_open(path, &err) < 0) {
		log_warn("%s: all of the log goes to %s", err.text, o->log_file);
		return;
	}
	tell(path);
	log_set_binary(true, o->log_format == LOG_FORMAT_BINARY ? LOG_WARN : LOG_INFO);
}

void binary_log_end(void)
{
	log_set_binary(false, LOG_DEBUG);
	log_binary_close();
}

/* -------------------------------------------------------------- last lines */

struct last {
	char lines[LAST_LINES][LOG_LINE_MAX];
	size_t n; /* of all that were seen */
};

static void read_last(struct last *l)
{
	auto_log_reader struct log_reader *r = NULL;
	struct err ignored = ERR_INIT;
	struct log_entry e;

	if (log_reader_open(log_binary_fd(), "binary log", &r, &ignored) < 0)
		return;
	log_reader_near_end(r, NEAR_END);
	while (log_reader_next(r, false, &e, &ignored) > 0)
		log_entry_line(r, &e, l->lines[l->n++ % LAST_LINES], LOG_LINE_MAX);
}

void binary_log_print_last(int fd)
{
	auto_free struct last *l = NULL;
	size_t first;

	if (log_binary_fd() < 0)
		return;
	l = xcalloc(1, sizeof(*l));
	read_last(l);
	first = l->n > LAST_LINES ? l->n - LAST_LINES : 0;
	for (size_t i = first; i < l->n; i++)
		dprintf(fd, "%s%s\n", i == first ? LAST_HEADLINE : "", l->lines[i % LAST_LINES]);
}
