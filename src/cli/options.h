/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From words to struct options. One table (option_table.c) has a row for every option that the
 * command line knows, also for those that are refused; the parser, the configuration files, --help
 * and the man page's test are walks over it.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "engine/options.h"

#define VERB_BIT(verb) (1u << (verb))

struct option_parser;
struct option_row;

/*
 * Takes one occurrence into the options. `value` is NULL where there is none, `on` is false for
 * the --no- form. 0; OPTION_REFUSED when torpor doesn't support this value yet; or an error about
 * the value, which the parser prefixes with the option's name.
 */
#define OPTION_REFUSED 1
typedef int option_setter(struct option_parser *p, const struct option_row *row, const char *value,
			  bool on, struct err *err);

enum option_group { GROUP_GENERAL, GROUP_TASKS, GROUP_MEMORY, GROUP_FILES, GROUP_CHECK, GROUP_MAX };

struct option_row {
	const char *name;
	char letter;	 /* '\0': none */
	const char *arg; /* the argument's name; in brackets: optional; NULL: none */
	bool negatable;	 /* --no-NAME exists */
	enum option_group group;
	unsigned int verbs; /* where it means something; elsewhere it is accepted and idle */
	option_setter *set;
	size_t offset;	  /* of the field, for the general setters */
	const char *help; /* of a refused option: what to do instead */
};

extern const struct option_row option_table[];
extern const size_t option_table_len;
extern const char *const option_group_names[GROUP_MAX];

/* True for rows that aren't supported whatever the value. */
bool option_is_refused(const struct option_row *row);

/* The words of one run: command line and configuration files, in order of rising precedence. */
struct option_parser {
	struct options *o;
	struct arena *arena;
	const char *origin; /* the configuration file that is being read; NULL: the command line */
	const char **words; /* what is left of the command line: command, arguments */
	size_t nwords;
	bool version_asked; /* parsing ends there */
	struct option_refusal {
		bool refused;
		const char *value;
		const char *origin;
	} * refusals; /* one per row: the last occurrence counts */
};

void option_parser_init(struct option_parser *p, struct options *o, struct arena *arena);
void option_parser_done(struct option_parser *p); /* frees the lists in the options */
/*
 * argv[1..]: long options and their unambiguous prefixes, letters and clusters of them, values
 * in the same or the next word, other words anywhere in between, `--` as the end of options.
 */
MUST_USE int options_parse_argv(struct option_parser *p, int argc, char **argv, struct err *err);
/* One option as a word without dashes, perhaps with =VALUE in it. `value`: NULL or a word. */
MUST_USE int options_parse_long(struct option_parser *p, const char *word, const char *value,
				bool *ret_took_value, struct err *err);
/*
 * After all sources: the command's word becomes o->verb, options that mean something for it but
 * aren't supported are refused, and options that exclude each other.
 */
MUST_USE int options_finish(struct option_parser *p, struct err *err);

/* Commands. */
struct verb_row {
	const char *name;
	enum verb verb;
	bool supported;
	const char *args;
	const char *help; /* of one that isn't supported: what to do instead */
};
extern const struct verb_row verb_table[];
extern const size_t verb_table_len;
const struct verb_row *verb_by_name(const char *name); /* NULL: unknown */
const struct verb_row *verb_row(enum verb verb);

/* usage.c: to stdout */
void usage_print_short(const char *program);
void usage_print_full(const char *program);
void usage_print_verb(const char *program, enum verb verb);
void usage_print_version(void);
