/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files. A line is blank, a comment, or
 *
 *	option
 *	option value
 *	option "quoted value"	# comment
 *
 * with blanks or tabs in between; in quotes, \" is a quote and nothing else is special. `option`
 * goes to the parser as --option, so that option=value and no-option work, too. A value for an
 * option whose value is optional (verbosity 4) is attached to it: on a line of its own there is
 * nothing else that it could mean.
 */
#include "cli/config.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"

#include <fcntl.h>
#include <string.h>

static char *skip_blanks(char *s)
{
	return s + strspn(s, " \t\r");
}

/* From behind the opening quote; unescapes in place. NULL without a closing one. */
static char *take_quoted(char *s)
{
	char *out = s;

	for (; *s && *s != '"'; s++) {
		if (s[0] == '\\' && s[1] == '"')
			s++;
		*out++ = *s;
	}
	if (*s != '"')
		return NULL;
	*out = '\0';
	return s + 1;
}

static char *take_bare(char *s)
{
	s += strcspn(s, " \t\r");
	if (*s)
		*s++ = '\0';
	return s;
}

int config_split_line(char *line, char **ret_name, char **ret_value, const char **ret_problem)
{
	char *s = skip_blanks(line);

	*ret_value = NULL;
	if (*s == '\0' || *s == '#')
		return 0;
	*ret_name = s;
	s = skip_blanks(take_bare(s));
	if (*s && *s != '#') {
		if (*s == '"') {
			*ret_value = s + 1;
			s = take_quoted(s + 1);
		} else {
			*ret_value = s;
			s = take_bare(s);
		}
		if (!s) {
			*ret_problem = "a quote isn't closed";
			return -EINVAL;
		}
		s = skip_blanks(s);
	}
	if (*s && *s != '#') {
		*ret_problem = "more than one value";
		return -EINVAL;
	}
	return 1;
}

static int take_line(struct option_parser *p, char *line, struct err *err)
{
	char *name;
	char *value;
	const char *problem = NULL;
	bool took_value;
	int r = config_split_line(line, &name, &value, &problem);

	if (r < 0)
		return err_input(err, "%s: %s: %s '%s'", p->origin, problem, name, value);
	if (r == 0)
		return 0;
	if (value && strchr(name, '='))
		return err_input(err, "%s: more than one value: %s '%s'", p->origin, name, value);
	if (value)
		name = arena_printf(p->arena, "%s=%s", name, value);
	return options_parse_long(p, name, NULL, &took_value, err);
}

int config_load_file(struct option_parser *p, const char *path, struct err *err)
{
	auto_free char *text = NULL;
	size_t len;
	unsigned int number = 0;
	int r = 0;

	if (io_read_file(AT_FDCWD, path, &text, &len) < 0)
		return 0;
	for (char *line = text, *next; line && r == 0; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		p->origin = arena_printf(p->arena, "%s:%u", path, ++number);
		r = take_line(p, line, err);
	}
	p->origin = NULL;
	return r;
}

/* The two options about configuration files count wherever they stand, but only written out. */
static void look_for_config(int argc, char **argv, const char **ret_file, bool *ret_no_default)
{
	*ret_file = NULL;
	*ret_no_default = false;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *joined = str_after(argv[i], "--config=");

		if (joined)
			*ret_file = joined;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			*ret_file = argv[++i];
		else if (strcmp(argv[i], "--no-default-config") == 0)
			*ret_no_default = true;
	}
}

int config_load_all(struct option_parser *p, int argc, char **argv, struct err *err)
{
	const char *named = getenv("CRIU_CONFIG_FILE");
	const char *home = getenv("HOME");
	const char *file;
	bool no_default;

	look_for_config(argc, argv, &file, &no_default);
	if (!no_default && !file) {
		TRY(config_load_file(p, "/etc/criu/default.conf", err));
		if (home)
			TRY(config_load_file(
				p, arena_printf(p->arena, "%s/.criu/default.conf", home), err));
	}
	if (named)
		TRY(config_load_file(p, named, err));
	if (file)
		TRY(config_load_file(p, file, err));
	return 0;
}
