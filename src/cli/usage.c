/* SPDX-License-Identifier: Apache-2.0 */
/* --help and --version, on stdout: walks over the tables of commands and options. */
#include "cli/options.h"

#include "cli/tool.h"

#include "engine/feature.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 30 };

static void print_usage_lines(const char *program)
{
	printf("\nUsage:\n");
	for (size_t i = 0; i < verb_table_len; i++) {
		const struct verb_row *v = &verb_table[i];

		if (v->supported)
			printf("  %s %s%s%s [OPTIONS]\n", program, v->name, v->args[0] ? " " : "",
			       v->args);
	}
	for (const struct tool *t = tool_table; t->name; t++)
		printf("  %s %s %s\n", program, t->name, t->args);
}

static void print_commands(void)
{
	printf("\nCommands:\n");
	for (size_t i = 0; i < verb_table_len; i++) {
		if (verb_table[i].supported)
			printf("  %-12s  %s\n", verb_table[i].name, verb_table[i].help);
	}
	for (const struct tool *t = tool_table; t->name; t++)
		printf("  %-12s  %s\n", t->name, t->help);
}

/* Words separated by `separator`, folded at the width of a terminal. */
struct folder {
	int column;
	const char *separator;
};

static void fold_word(struct folder *f, const char *word)
{
	int len = (int)strlen(word);

	if (f->column && f->column + 2 + len > WIDTH - 1) {
		printf("%s\n", f->separator);
		f->column = 0;
	}
	f->column += printf("%s%s", f->column ? f->separator : "  ", f->column ? " " : "");
	f->column += printf("%s", word);
}

static void print_refused(unsigned int verbs)
{
	struct folder f = {.separator = ","};

	printf("\nKnown, but refused because they aren't supported yet:\n");
	for (size_t i = 0; i < option_table_len; i++) {
		char word[64];

		if (!option_is_refused(&option_table[i]) || !(option_table[i].verbs & verbs))
			continue;
		snprintf(word, sizeof(word), "--%s", option_table[i].name);
		fold_word(&f, word);
	}
	printf("\n");
}

/* Breaks lines at blanks, and goes on in the same column. */
static void print_wrapped(const char *text)
{
	const size_t width = WIDTH - HELP_COLUMN;

	while (strlen(text) > width) {
		size_t len = width;

		while (len > 0 && text[len] != ' ')
			len--;
		printf("%.*s\n%*s", (int)len, text, HELP_COLUMN, "");
		text += len + 1;
	}
	printf("%s\n", text);
}

static void print_row(const struct option_row *row)
{
	bool optional = row->arg && row->arg[0] == '[';
	int column = printf("  ");

	column += row->letter ? printf("-%c, ", row->letter) : printf("    ");
	column += printf("--%s%s", row->name, row->arg ? (optional ? "[=" : " ") : "");
	if (row->arg)
		column += printf("%s", row->arg + optional);
	if (column >= HELP_COLUMN) {
		printf("\n");
		column = 0;
	}
	printf("%*s", HELP_COLUMN - column, "");
	print_wrapped(row->help);
}

static void print_options(unsigned int verbs)
{
	for (int group = 0; group < GROUP_MAX; group++) {
		bool titled = false;

		for (size_t i = 0; i < option_table_len; i++) {
			const struct option_row *row = &option_table[i];

			if ((int)row->group != group || option_is_refused(row) ||
			    !(row->verbs & verbs) || strcmp(row->help, "removed") == 0)
				continue;
			if (!titled)
				printf("\n%s:\n", option_group_names[group]);
			titled = true;
			print_row(row);
		}
	}
}

static void print_negation(void)
{
	printf("\nOptions without an argument can be taken back as --no-NAME, but for -R, -s, -h\n"
	       "and -V; the last one counts. Options in files: see torpor.conf(5).\n");
}

static void print_features(void)
{
	struct folder f = {.separator = ","};

	printf("\nFeatures for check --feature NAME:\n");
	for (size_t i = 0; feature_name(i); i++)
		fold_word(&f, feature_name(i));
	printf("\n");
}

void usage_print_short(const char *program)
{
	print_usage_lines(program);
	print_commands();
	printf("\nTry -h|--help for more info\n");
}

void usage_print_full(const char *program)
{
	unsigned int verbs = 0;

	for (size_t i = 0; i < verb_table_len; i++)
		if (verb_table[i].supported)
			verbs |= VERB_BIT(verb_table[i].verb);
	print_usage_lines(program);
	print_commands();
	printf("\n%s COMMAND --help shows what belongs to one command.\n", program);
	print_options(verbs);
	print_negation();
	print_refused(verbs);
	print_features();
}

void usage_print_verb(const char *program, enum verb verb)
{
	const struct verb_row *row = verb_row(verb);

	if (!row->supported) {
		printf("%s %s isn't supported yet; %s.\n", program, row->name, row->help);
		return;
	}
	printf("Usage: %s %s%s%s [OPTIONS]\n\n%s: %s\n", program, row->name,
	       row->args[0] ? " " : "", row->args, row->name, row->help);
	print_options(VERB_BIT(verb));
	print_negation();
	if (verb != VERB_CHECK)
		print_refused(VERB_BIT(verb));
	else
		print_features();
}

/*
 * Callers read the first line, to learn which CRIU's contracts they can rely on; a "GitID" line
 * would make some of them count one minor version more.
 */
void usage_print_version(void)
{
	printf("Version: 4.2\ntorpor %s\n", TORPOR_VERSION);
}
