/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of options. It behaves as GNU getopt_long does with permutation, which is what
 * existing callers expect, but has no state of its own, so that configuration files and (later)
 * requests go through it too, and reports through struct err.
 *
 * What isn't supported is only noted while parsing and refused at the end: whether an option
 * means anything depends on the command, which may come behind it, and a later --no- form or a
 * value for "off" takes it back.
 */
#include "cli/options.h"

#include "base/auto.h"
#include "base/parse.h"
#include "base/vec.h"

#include <string.h>

void option_parser_init(struct option_parser *p, struct options *o, struct arena *arena)
{
	*p = (struct option_parser){.o = o, .arena = arena};
	p->refusals = arena_array_of(arena, struct option_refusal, option_table_len);
}

void option_parser_done(struct option_parser *p)
{
	vec_done(&p->o->scripts);
	vec_done(&p->o->file_policies);
}

static bool takes_value(const struct option_row *row)
{
	return row->arg != NULL;
}

/* "[NUM]", unlike "[CTRL:]PATH" */
static bool value_is_optional(const struct option_row *row)
{
	return row->arg && row->arg[0] == '[' && str_ends(row->arg, "]");
}

static int take(struct option_parser *p, const struct option_row *row, const char *value, bool on,
		struct err *err)
{
	struct option_refusal *refusal = &p->refusals[row - option_table];
	int r = row->set(p, row, value, on, err);

	if (r < 0) {
		err_in(err, "option --%s", row->name);
		return p->origin ? err_in(err, "%s", p->origin) : r;
	}
	refusal->refused = r == OPTION_REFUSED;
	refusal->value = value ? arena_str(p->arena, value) : NULL;
	refusal->origin = p->origin;
	return 0;
}

struct match {
	const struct option_row *row;
	bool on;
	bool exact;
	size_t count; /* rows that the word could mean */
};

/* Two rows that do the same thing don't make a prefix ambiguous (daemon and restore-detached). */
static bool same_effect(const struct option_row *a, const struct option_row *b)
{
	return a->set == b->set && a->offset == b->offset && a->arg == NULL && b->arg == NULL &&
	       !option_is_refused(a) && !option_is_refused(b);
}

static void match_name(struct match *m, const struct option_row *row, const char *name, bool on,
		       const char *word, size_t len)
{
	if (m->exact || strncmp(name, word, len) != 0)
		return;
	if (name[len] == '\0') {
		*m = (struct match){.row = row, .on = on, .exact = true, .count = 1};
		return;
	}
	if (m->row && m->on == on && same_effect(m->row, row))
		return;
	m->row = row;
	m->on = on;
	m->count++;
}

static struct match find_long(const char *word, size_t len)
{
	struct match m = {0};

	for (size_t i = 0; i < option_table_len; i++) {
		const struct option_row *row = &option_table[i];
		char negated[64];

		match_name(&m, row, row->name, true, word, len);
		if (!row->negatable)
			continue;
		snprintf(negated, sizeof(negated), "no-%s", row->name);
		match_name(&m, row, negated, false, word, len);
	}
	return m;
}

int options_parse_long(struct option_parser *p, const char *word, const char *value,
		       bool *ret_took_value, struct err *err)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	struct match m = find_long(word, len);
	const char *where = p->origin ? p->origin : "";
	const char *sep = p->origin ? ": " : "";

	*ret_took_value = false;
	if (m.count == 0 || len == 0)
		return err_input(err, "%s%sunrecognized option '--%.*s'", where, sep, (int)len,
				 word);
	if (m.count > 1)
		return err_input(err, "%s%soption '--%s' is ambiguous", where, sep, word);
	if (equals && (!takes_value(m.row) || !m.on))
		return err_input(err, "%s%soption '--%s%s' doesn't allow an argument", where, sep,
				 m.on ? "" : "no-", m.row->name);
	if (equals)
		return take(p, m.row, equals + 1, true, err);
	if (!takes_value(m.row) || !m.on || value_is_optional(m.row))
		return take(p, m.row, NULL, m.on, err);
	if (!value)
		return err_input(err, "%s%soption '--%s' requires an argument", where, sep,
				 m.row->name);
	*ret_took_value = true;
	return take(p, m.row, value, true, err);
}

static const struct option_row *find_letter(char letter)
{
	for (size_t i = 0; i < option_table_len; i++) {
		if (option_table[i].letter && option_table[i].letter == letter)
			return &option_table[i];
	}
	return NULL;
}

/* "-dv4" or "-t" "812": letters up to the first that takes the rest, or the next word. */
static int parse_letters(struct option_parser *p, const char *letters, const char *next,
			 bool *ret_took_next, struct err *err)
{
	*ret_took_next = false;
	for (const char *c = letters; *c; c++) {
		const struct option_row *row = find_letter(*c);

		if (!row)
			return err_input(err, "invalid option -- '%c'", *c);
		if (!takes_value(row)) {
			TRY(take(p, row, NULL, true, err));
			continue;
		}
		if (c[1] || value_is_optional(row))
			return take(p, row, c[1] ? c + 1 : NULL, true, err);
		if (!next)
			return err_input(err, "option requires an argument -- '%c'", *c);
		*ret_took_next = true;
		return take(p, row, next, true, err);
	}
	return 0;
}

int options_parse_argv(struct option_parser *p, int argc, char **argv, struct err *err)
{
	bool options_end = false;

	p->words = arena_array_of(p->arena, const char *, argc + 1);
	p->nwords = 0;
	for (int i = 1; i < argc && !p->version_asked; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool took_next = false;

		if (options_end || argv[i][0] != '-' || argv[i][1] == '\0')
			p->words[p->nwords++] = argv[i];
		else if (strcmp(argv[i], "--") == 0)
			options_end = true;
		else if (argv[i][1] == '-')
			TRY(options_parse_long(p, argv[i] + 2, next, &took_next, err));
		else
			TRY(parse_letters(p, argv[i] + 1, next, &took_next, err));
		i += took_next;
	}
	return 0;
}

static int refuse_unsupported(const struct option_parser *p, struct err *err)
{
	for (size_t i = 0; i < option_table_len; i++) {
		const struct option_row *row = &option_table[i];
		const struct option_refusal *refusal = &p->refusals[i];
		bool by_value = refusal->value && !option_is_refused(row);

		if (!refusal->refused || !(row->verbs & VERB_BIT(p->o->verb)))
			continue;
		return err_refuse(err, row->help, "%s%soption --%s%s%s isn't supported yet",
				  refusal->origin ? refusal->origin : "",
				  refusal->origin ? ": " : "", row->name, by_value ? "=" : "",
				  by_value ? refusal->value : "");
	}
	return 0;
}

/* `restore --exec-cmd -- PROGRAM ARGS...` is the only command with words behind it. */
static int take_words(struct option_parser *p, struct err *err)
{
	struct options *o = p->o;

	if (!o->exec_cmd) {
		if (p->nwords > 1)
			return err_input(err, "unexpected word '%s' after the command",
					 p->words[1]);
		return 0;
	}
	if (o->verb != VERB_RESTORE)
		return err_input(err, "option --exec-cmd is for restore only");
	if (o->detached)
		return err_input(err,
				 "options --exec-cmd and --restore-detached exclude each other");
	if (p->nwords < 2)
		return err_input(err, "option --exec-cmd needs a command after --");
	o->exec_argv = arena_array_of(p->arena, char *, p->nwords);
	for (size_t i = 1; i < p->nwords; i++)
		o->exec_argv[i - 1] = arena_str(p->arena, p->words[i]);
	return 0;
}

static int refuse_verb(const struct verb_row *row, struct err *err)
{
	if (row->verb == VERB_EXEC || row->verb == VERB_SHOW)
		return err_refuse(err, row->help, "the %s command is gone", row->name);
	return err_refuse(err, row->help, "the %s command isn't supported yet", row->name);
}

int options_finish(struct option_parser *p, struct err *err)
{
	struct options *o = p->o;
	const struct verb_row *row;

	if (p->nwords == 0)
		return err_input(err, "command is required");
	row = verb_by_name(p->words[0]);
	if (!row)
		return err_input(err, "unknown command: %s", p->words[0]);
	o->verb = row->verb;
	if (!row->supported)
		return refuse_verb(row, err);
	TRY(take_words(p, err));
	if (o->restore_sibling && !o->detached)
		return err_input(err, "option --restore-sibling needs --restore-detached");
	if (o->log_format == LOG_FORMAT_BINARY && (!o->log_file || strcmp(o->log_file, "-") == 0))
		return err_input(err, "option --log-format=binary needs --log-file FILE");
	TRY(refuse_unsupported(p, err));
	if ((o->verb == VERB_DUMP || o->verb == VERB_PRE_DUMP) && !o->pid)
		return err_input(err, "pid not specified (pass --tree PID)");
	return 0;
}

/* clang-format off */
const struct verb_row verb_table[] = {
	{"dump", VERB_DUMP, true, "--tree PID", "write the tree to image files, and end it"},
	{"pre-dump", VERB_PRE_DUMP, true, "--tree PID",
	 "copy the memory of the tree while it runs, for a quicker dump"},
	{"restore", VERB_RESTORE, true, "", "make the tree of the image files, and let it run"},
	{"check", VERB_CHECK, true, "[--feature NAME | --tree PID]",
	 "does this kernel, or this tree, have what a dump needs?"},
	{"lazy-pages", VERB_LAZY_PAGES, false, "", "restore with all memory"},
	{"page-server", VERB_PAGE_SERVER, false, "", "dump to a directory and copy it"},
	{"service", VERB_SERVICE, false, "", "use the dump and restore commands"},
	{"swrk", VERB_SWRK, false, "FD", "use the dump and restore commands"},
	{"dedup", VERB_DEDUP, true, "",
	 "punch out of the parent images what newer ones replace"},
	{"cpuinfo", VERB_CPUINFO, false, "dump|check", "compare /proc/cpuinfo of the machines"},
	{"exec", VERB_EXEC, false, "", "run system calls in another process with compel"},
	{"show", VERB_SHOW, false, "", "look into image files with crit"},
};
/* clang-format on */
const size_t verb_table_len = ARRAY_SIZE(verb_table);

const struct verb_row *verb_by_name(const char *name)
{
	for (size_t i = 0; i < verb_table_len; i++) {
		if (strcmp(verb_table[i].name, name) == 0)
			return &verb_table[i];
	}
	return NULL;
}

const struct verb_row *verb_row(enum verb verb)
{
	for (size_t i = 0; i < verb_table_len; i++) {
		if (verb_table[i].verb == verb)
			return &verb_table[i];
	}
	return NULL;
}
