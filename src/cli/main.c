/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words in, exit status out. The order of the steps is a contract: it decides whether a failure
 * is reported on stderr or in the log.
 */
#include "cli/config.h"
#include "cli/crash.h"
#include "cli/options.h"
#include "cli/session.h"
#include "cli/tool.h"

#include "base/auto.h"
#include "base/log.h"

#include <signal.h>
#include <string.h>

/* --help counts wherever it stands, before anything else is looked at. */
static bool help_asked(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

static int print_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct verb_row *row = verb_by_name(argv[i]);

		if (row) {
			usage_print_verb("torpor", row->verb);
			return EXIT_OK;
		}
	}
	usage_print_full("torpor");
	return EXIT_OK;
}

static int parse_failed(const struct err *err, enum verb verb)
{
	session_report(err);
	if (verb == VERB_EXEC || verb == VERB_SHOW)
		return EXIT_GONE_COMMAND;
	if (err->kind == ERR_INPUT)
		usage_print_short("torpor");
	return EXIT_FAILED;
}

static int run(struct options *o)
{
	struct session session;
	struct err err = ERR_INIT;
	int status;

	crash_watch();
	if (!privilege_check(o))
		return EXIT_FAILED;
	if (session_open(o, &session, &err) < 0) {
		session_report(&err);
		session_close(&session);
		return EXIT_FAILED;
	}
	switch (o->verb) {
	case VERB_DUMP:
		status = verb_dump(o, &session);
		break;
	case VERB_PRE_DUMP:
		status = verb_pre_dump(o, &session);
		break;
	case VERB_RESTORE:
		status = verb_restore(o, &session);
		break;
	case VERB_DEDUP:
		status = verb_dedup(o, &session);
		break;
	default: /* options_finish lets only one more pass */
		status = verb_check(o);
		break;
	}
	session_close(&session);
	return status;
}

static int parse_and_run(struct option_parser *p, int argc, char **argv)
{
	struct err err = ERR_INIT;
	int r = config_load_all(p, argc, argv, &err);

	if (r >= 0)
		r = options_parse_argv(p, argc, argv, &err);
	session_guard_stdio(); /* --close can take one of them */
	if (r >= 0 && p->version_asked) {
		usage_print_version();
		return EXIT_OK;
	}
	if (r >= 0)
		r = options_finish(p, &err);
	if (r < 0)
		return parse_failed(&err, p->o->verb);
	log_init(p->o->verbosity);
	return run(p->o);
}

int main(int argc, char **argv)
{
	struct options options = OPTIONS_DEFAULT;
	struct option_parser parser;
	const struct tool *tool;
	struct arena *arena;
	int status, skip;

	session_guard_stdio();
	tool = tool_find(argc, argv, &skip);
	if (tool)
		return tool->run(argc - skip, argv + skip);
	/* Ignored, as some parents leave it, it would reap our children behind our back. */
	(void)sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	log_init(LOG_WARN);
	if (argc < 2) {
		usage_print_short("torpor");
		return EXIT_FAILED;
	}
	if (help_asked(argc, argv))
		return print_help(argc, argv);
	arena = arena_new();
	option_parser_init(&parser, &options, arena);
	status = parse_and_run(&parser, argc, argv);
	option_parser_done(&parser);
	arena_free(arena);
	return status;
}
