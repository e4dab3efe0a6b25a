/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tool.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
const struct tool tool_table[] = {
	{"image", "COMMAND ...", "show, check, edit and compare image files", image_main},
	{"log", "FILE", "show a binary log", log_main},
	{NULL},
};
/* clang-format on */

static const struct tool *by_name(const char *name)
{
	for (const struct tool *t = tool_table; t->name; t++)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

/* What torpor was called by, without the path. */
static bool is_called(const char *arg0, const char *name)
{
	const char *slash = strrchr(arg0, '/');

	return strcmp(slash ? slash + 1 : arg0, name) == 0;
}

const struct tool *tool_find(int argc, char **argv, int *skip)
{
	static const struct tool crit = {"crit", "", "", crit_main};

	*skip = 0;
	if (argc > 0 && is_called(argv[0], "crit"))
		return &crit;
	*skip = 1;
	return argc > 1 ? by_name(argv[1]) : NULL;
}
