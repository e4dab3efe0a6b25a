/* SPDX-License-Identifier: Apache-2.0 */
/* torpor log: a binary log as text or JSON (base/log_reader.h). */
#include "base/log.h"
#include "base/arena.h"
#include "base/auto.h"
#include "base/log_reader.h"
#include "base/parse.h"
#include "cli/log_json.h"
#include "cli/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOG_OK = 0, LOG_FAILED = 1, LOG_USAGE = 2, LOG_LOSSES = 3 };

#define LAST_MAX    100000u
#define LAST_NEAR   (256u << 10) /* bytes to look at, at least, for the last lines */
#define FOLLOW_MS   50
#define FOLLOW_HOLE 20 /* so many times nothing: then what isn't finished is passed over */

struct log_command {
	const char *path;
	bool follow, in_full, json, about;
	uint8_t level;
	int pid; /* 0: any */
	const char *file, *text;
	uint64_t since, until; /* ns of the log, or of the epoch */
	bool since_is_wall, until_is_wall;
	uint32_t last; /* 0: all */
	bool filtered;

	struct log_reader *reader;
	char **ring; /* `last` lines */
	size_t shown;
	bool to_terminal;
};

/* ------------------------------------------------------------------ words */

static const char usage[] =
	"Usage: torpor log [OPTION]... FILE\n"
	"Show a binary log of torpor (FILE.bin, or -: standard input).\n\n"
	"  -f, --follow          wait for more, until nobody writes to it any more\n"
	"  -l, --long            with process, thread, level and place of each line\n"
	"      --json            one JSON object per line\n"
	"      --level LEVEL     only lines of this level or a graver one: error, warn, info, debug\n"
	"      --pid PID         only lines that this process or thread wrote\n"
	"      --file PATTERN    only lines of these source files (remote/*, seize.c)\n"
	"      --grep TEXT       only lines with TEXT in their message\n"
	"      --since TIME      only lines from then on: seconds of the log, or @seconds since 1970\n"
	"      --until TIME      only lines up to then\n"
	"      --last N          only the last N lines\n"
	"      --about           not the lines: who wrote the log, and when\n"
	"  -h, --help            this text\n\n"
	"Exit status: 0; 1: can't be read; 2: wrong usage; 3: lines are missing.\n";

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "torpor log: error: %s%s%s%s\n%s", what, value ? " '" : "", value ?: "",
		value ? "'" : "", usage);
	return LOG_USAGE;
}

static bool parse_level(const char *word, uint8_t *ret)
{
	for (uint8_t level = LOG_ERROR; level <= LOG_DEBUG; level++) {
		char digit[2] = {(char)('0' + level), 0};

		if (strcmp(word, log_level_name(level)) != 0 && strcmp(word, digit) != 0)
			continue;
		*ret = level;
		return true;
	}
	return false;
}

/* "12", "12.345", "@1700000000.5": in nanoseconds. */
static bool parse_time(const char *word, uint64_t *ret, bool *is_wall)
{
	uint64_t seconds, ns = 0, digit = 100000000;

	*is_wall = word[0] == '@';
	word += *is_wall;
	if (!scan_u64(&word, 10, &seconds) || seconds > UINT64_MAX / 2000000000)
		return false;
	if (*word == '.')
		for (word++; *word >= '0' && *word <= '9'; word++, digit /= 10)
			ns += (uint64_t)(*word - '0') * digit;
	*ret = seconds * 1000000000 + ns;
	return *word == '\0';
}

static int parse_option(struct log_command *c, int option, const char *value)
{
	bool good = true;

	switch (option) {
	case 'f':
		c->follow = true;
		return LOG_OK;
	case 'l':
		c->in_full = true;
		return LOG_OK;
	case 'j':
		c->json = true;
		return LOG_OK;
	case 'a':
		c->about = true;
		return LOG_OK;
	case 'n':
		good = parse_u32(value, 10, &c->last) >= 0 && c->last && c->last <= LAST_MAX;
		return good ? LOG_OK : usage_error("not a number of lines:", value);
	case 'v':
		good = parse_level(value, &c->level);
		break;
	case 'p':
		good = parse_pid(value, &c->pid) >= 0;
		break;
	case 'F':
		c->file = value;
		break;
	case 'g':
		c->text = value;
		break;
	case 's':
		good = parse_time(value, &c->since, &c->since_is_wall);
		break;
	case 'u':
		good = parse_time(value, &c->until, &c->until_is_wall);
		break;
	default:
		return usage_error("see the options", NULL);
	}
	c->filtered = true;
	return good ? LOG_OK : usage_error("bad value", value);
}

static int parse_words(struct log_command *c, int argc, char **argv)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'},
		{"long", no_argument, NULL, 'l'},
		{"json", no_argument, NULL, 'j'},
		{"level", required_argument, NULL, 'v'},
		{"pid", required_argument, NULL, 'p'},
		{"file", required_argument, NULL, 'F'},
		{"grep", required_argument, NULL, 'g'},
		{"since", required_argument, NULL, 's'},
		{"until", required_argument, NULL, 'u'},
		{"last", required_argument, NULL, 'n'},
		{"about", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "flh", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return -1;
		}
		if (parse_option(c, option, optarg) != LOG_OK)
			return LOG_USAGE;
	}
	if (optind != argc - 1)
		return usage_error("which file?", NULL);
	if (c->follow && c->last)
		return usage_error("--follow and --last don't go together", NULL);
	c->path = argv[optind];
	return LOG_OK;
}

/* ------------------------------------------------------------------ lines */

static uint64_t on_clock(const struct log_command *c, uint64_t ns, bool wall)
{
	return wall ? ns + log_reader_about(c->reader)->wall_ns : ns;
}

static bool file_matches(const char *pattern, const char *file)
{
	const char *base = strrchr(file, '/');

	return fnmatch(pattern, file, 0) == 0 || (base && fnmatch(pattern, base + 1, 0) == 0);
}

static bool is_wanted(const struct log_command *c, const struct log_entry *e)
{
	char message[LOG_LINE_MAX];

	if (e->place->level > c->level || (c->pid && c->pid != e->pid && c->pid != e->tid))
		return false;
	if (on_clock(c, e->ns, c->since_is_wall) < c->since ||
	    on_clock(c, e->ns, c->until_is_wall) > c->until)
		return false;
	if (c->file && !file_matches(c->file, e->place->file))
		return false;
	if (!c->text)
		return true;
	log_entry_message(e, message, sizeof(message));
	return strstr(message, c->text);
}

static void format_in_full(const struct log_entry *e, char *buf, size_t size)
{
	int n = snprintf(buf, size, "(%02llu.%06llu) [%d", (unsigned long long)(e->ns / 1000000000),
			 (unsigned long long)(e->ns / 1000 % 1000000), e->pid);

	if (e->tid != e->pid)
		n += snprintf(buf + n, size - (size_t)n, "/%d", e->tid);
	n += snprintf(buf + n, size - (size_t)n,
		      "] %s %.200s:%u: ", log_level_name(e->place->level), e->place->file,
		      e->place->line);
	log_entry_message(e, buf + n, size - (size_t)n);
}

/* Terminals obey control characters; a log has no business to command them. */
static void print_line(const struct log_command *c, const char *line)
{
	for (; c->to_terminal && *line; line++) {
		if ((unsigned char)*line < ' ' && *line != '\t')
			printf("\\x%02x", (unsigned char)*line);
		else
			putchar(*line);
	}
	puts(line);
}

static void show(struct log_command *c, const struct log_entry *e)
{
	char line[LOG_LINE_MAX];
	auto_free char *json = NULL;

	if (c->json)
		json = log_entry_json(c->reader, e);
	else if (c->in_full)
		format_in_full(e, line, sizeof(line));
	else
		log_entry_line(c->reader, e, line, sizeof(line));
	if (c->last) {
		char **slot = &c->ring[c->shown++ % c->last];

		free(*slot);
		*slot = json ? TAKE_PTR(json) : xstrdup(line);
		return;
	}
	print_line(c, json ?: line);
}

static void print_ring(struct log_command *c)
{
	size_t first = c->shown > c->last ? c->shown - c->last : 0;

	for (size_t i = first; i < c->shown; i++)
		print_line(c, c->ring[i % c->last]);
}

/* ---------------------------------------------------------------- reading */

static int read_entries(struct log_command *c, struct err *err)
{
	bool writing = c->follow;
	struct log_entry e;
	int r, idle = 0;

	for (;;) {
		r = log_reader_next(c->reader, writing && idle < FOLLOW_HOLE, &e, err);
		if (r > 0) {
			if (is_wanted(c, &e))
				show(c, &e);
			idle = 0;
			continue;
		}
		if (r < 0 || !writing)
			return r;
		fflush(stdout);
		if (idle++ > FOLLOW_HOLE)
			idle = 0;
		/* And what was written until it ended. */
		writing = !log_reader_is_complete(c->reader);
		if (writing)
			poll(NULL, 0, FOLLOW_MS);
	}
}

static int tell_losses(const struct log_command *c)
{
	struct log_losses l = log_reader_losses(c->reader);

	if (l.table)
		fprintf(stderr, "torpor log: %s: the table of formats was changed\n", c->path);
	if (l.damaged)
		fprintf(stderr, "torpor log: %s: %llu bytes are damaged, or cut off at the end\n",
			c->path, (unsigned long long)l.damaged);
	if (l.unfinished)
		fprintf(stderr, "torpor log: %s: %llu lines were never finished\n", c->path,
			(unsigned long long)l.unfinished);
	if (l.dropped)
		fprintf(stderr, "torpor log: %s: there was no space for %llu lines\n", c->path,
			(unsigned long long)l.dropped);
	return l.table || l.damaged || l.unfinished || l.dropped ? LOG_LOSSES : LOG_OK;
}

static int print_about(const struct log_command *c)
{
	const struct log_about *a = log_reader_about(c->reader);
	time_t wall = (time_t)(a->wall_ns / 1000000000);
	char when[64] = "?";
	struct tm tm;

	if (localtime_r(&wall, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &tm);
	printf("command: %s\npid: %d\nbegun: %s\ntorpor: %s\nboot: %s\nlevel: %u\n", a->cmdline,
	       a->pid, when, a->torpor, a->boot_id, a->level);
	return LOG_OK;
}

static int run(struct log_command *c, struct err *err)
{
	int r;

	if (c->about)
		return print_about(c);
	c->to_terminal = isatty(STDOUT_FILENO);
	if (c->last) {
		c->ring = xcalloc(c->last, sizeof(*c->ring));
		if (!c->filtered)
			log_reader_near_end(c->reader,
					    MAX((uint64_t)c->last * LOG_RECORD_MAX, LAST_NEAR));
	}
	r = read_entries(c, err);
	if (c->last)
		print_ring(c);
	return r < 0 ? r : tell_losses(c);
}

/* --------------------------------------------------------------- the file */

/* FILE is the text: what it leaves out is beside it. */
static int open_beside(struct log_command *c, char **path)
{
	int fd;

	if (asprintf(path, "%s.bin", c->path) < 0)
		abort();
	fd = open(*path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fprintf(stderr, "torpor log: %s is the text, this is %s\n", c->path, *path);
	c->path = *path;
	return fd;
}

static int open_log(struct log_command *c, int fd, char **beside, struct err *err)
{
	struct err later = ERR_INIT;
	int r = log_reader_open(fd, c->path, &c->reader, err);

	if (r != -EINVAL || strcmp(c->path, "-") == 0)
		return r;
	fd = open_beside(c, beside);
	if (fd < 0)
		return r;
	r = log_reader_open(fd, c->path, &c->reader, &later);
	if (r < 0)
		*err = later;
	return r;
}

static int failed(const struct err *err)
{
	fprintf(stderr, "torpor log: error: %s%s%s\n", err->text, err->hint[0] ? "; " : "",
		err->hint);
	return LOG_FAILED;
}

int log_main(int argc, char **argv)
{
	struct log_command c = {.level = LOG_DEBUG, .until = UINT64_MAX};
	auto_free char *beside = NULL;
	struct err err = ERR_INIT;
	int r = parse_words(&c, argc, argv), fd = STDIN_FILENO;

	if (r != LOG_OK)
		return r < 0 ? LOG_OK : r;
	if (strcmp(c.path, "-") != 0)
		fd = open(c.path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_sys(&err, -errno, "open %s", c.path);
		return failed(&err);
	}
	r = open_log(&c, fd, &beside, &err);
	if (r >= 0)
		r = run(&c, &err);
	for (size_t i = 0; c.ring && i < c.last; i++)
		free(c.ring[i]);
	free(c.ring);
	log_reader_free(c.reader);
	if (r >= 0 && (fflush(stdout) < 0 || ferror(stdout)))
		r = err_sys(&err, -EIO, "write the lines");
	return r < 0 ? failed(&err) : r;
}
