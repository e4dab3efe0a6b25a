/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tool.h"

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

const struct tool *tool_find(int argc, char **argv, int *skip)
{
	*skip = 1;
	return argc > 1 ? by_name(argv[1]) : NULL;
}
