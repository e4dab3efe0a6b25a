/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that freeze and wake nobody: they look at files, need no privileges, read no
 * configuration, and have options of their own (getopt_long), a set for each subcommand.
 */
#pragma once

struct tool {
	const char *name;
	const char *args;
	const char *help;
	/* argv[0] is the tool's name. Returns the exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct tool tool_table[]; /* ends with a row without a name */

/*
 * The tool that this command line is for: torpor NAME ..., or the name that torpor was called by
 * (crit). NULL: none; else *skip words go before its argv[0].
 */
const struct tool *tool_find(int argc, char **argv, int *skip);

int image_main(int argc, char **argv);
int crit_main(int argc, char **argv);
int log_main(int argc, char **argv);
