/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crit: torpor called by this name takes crit's commands, options and exit codes, so that scripts
 * made for it go on working. Facts: ../shared/interfaces/CRIT.md.
 */
#include "cli/codec.h"
#include "cli/image.h"
#include "cli/tool.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { CRIT_OK = 0, CRIT_FAILED = 1, CRIT_USAGE = 2 };

/* What was asked for; words of one run of the program. */
struct request {
	struct codec_files files;
	unsigned int flags;
	const char *words[2];
	int nwords;
	bool help;
};

static int decode(const struct request *rq);
static int encode(const struct request *rq);
static int info(const struct request *rq);
static int explore(const struct request *rq);
static int show(const struct request *rq);

/* clang-format off */
static const struct crit_command {
	const char *name, *usage, *help;
	const char *options; /* letters of those that it takes */
	int nwords;
	int (*run)(const struct request *rq);
} commands[] = {
	{"decode", "[-h] [--pretty] [-i IN] [-o OUT]", "convert criu image from binary type to json",
	 "hpio", 0, decode},
	{"encode", "[-h] [-i IN] [-o OUT]", "convert criu image from json type to binary",
	 "hio", 0, encode},
	{"info", "[-h] in", "show info about image", "h", 1, info},
	{"x", "[-h] dir {ps,fds,mems,rss}", "explore image dir", "h", 2, explore},
	{"show", "[-h] [--nopl] in", "convert criu image from binary to human-readable json",
	 "hn", 1, show},
	{NULL},
};
/* clang-format on */

#define NAMES "{decode,encode,info,x,show}"

/* ------------------------------------------------------------------- words */

static void print_usage(FILE *out)
{
	fprintf(out, "usage: crit [-h] " NAMES " ...\n");
}

static int print_help(void)
{
	print_usage(stdout);
	printf("\nCRiu Image Tool\n\npositional arguments:\n  " NAMES "\n"
	       "                        Use crit CMD --help for command-specific help\n");
	for (const struct crit_command *c = commands; c->name; c++)
		printf("    %-20s%s\n", c->name, c->help);
	printf("\noptions:\n  -h, --help            show this help message and exit\n"
	       "  --version             show the version and exit\n");
	return CRIT_OK;
}

static int wrong_words(const struct crit_command *c, const char *what, const char *word)
{
	fprintf(stderr, "usage: crit %s %s\ncrit %s: error: %s%s\n", c->name, c->usage, c->name,
		what, word);
	return CRIT_USAGE;
}

static int parse(const struct crit_command *c, int argc, char **argv, struct request *rq)
{
	static const struct option options[] = {
		{"in", required_argument, NULL, 'i'},  {"input", required_argument, NULL, 'i'},
		{"out", required_argument, NULL, 'o'}, {"output", required_argument, NULL, 'o'},
		{"pretty", no_argument, NULL, 'p'},    {"nopl", no_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},      {NULL},
	};
	int letter;

	*rq = (struct request){.flags = TORPOR_IMAGE_NO_RAW};
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "hi:o:", options, NULL)) >= 0) {
		if (letter == '?' || !strchr(c->options, letter))
			return wrong_words(c, "unrecognized arguments: ", argv[optind - 1]);
		if (letter == 'i')
			rq->files.in = optarg;
		else if (letter == 'o')
			rq->files.out = optarg;
		else if (letter == 'h')
			rq->help = true;
		else
			rq->flags |= letter == 'p' ? TORPOR_IMAGE_PRETTY : TORPOR_IMAGE_SIZES_ONLY;
	}
	if (rq->help)
		return CRIT_OK;
	for (; optind < argc; optind++) {
		if (rq->nwords == c->nwords)
			return wrong_words(c, "unrecognized arguments: ", argv[optind]);
		rq->words[rq->nwords++] = argv[optind];
	}
	if (rq->nwords < c->nwords)
		return wrong_words(c, "the following arguments are required: ",
				   c->nwords == 1 ? "in"
				   : rq->nwords	  ? "what"
						  : "dir");
	return CRIT_OK;
}

/* ---------------------------------------------------------------- commands */

static void print_error(const struct torpor_image *ti)
{
	const char *text = torpor_image_error(ti), *magic = strstr(text, "Unknown magic");

	/* Scripts know this one by how its lines begin. */
	fprintf(stderr, "%s.\n%s%s", magic ? magic : text, torpor_image_hint(ti),
		torpor_image_hint(ti)[0] ? "\n" : "");
}

static int finish(struct torpor_image *ti, int r, const char *what)
{
	image_progress_hide();
	if (r < 0 && what)
		fprintf(stderr, "crit: %s: %s\n", what, strerror(-r));
	else if (r < 0)
		print_error(ti);
	torpor_image_free(ti);
	return r < 0 ? CRIT_FAILED : CRIT_OK;
}

static int decode(const struct request *rq)
{
	struct torpor_image *ti = image_context();
	const char *what;
	int r = codec_decode(ti, &rq->files, rq->flags, &what);

	return finish(ti, r, what);
}

static int encode(const struct request *rq)
{
	struct torpor_image *ti = image_context();
	const char *what;
	int r = codec_encode(ti, &rq->files, &what);

	if (r < 0 && !what)
		fprintf(stderr, "Cannot read JSON.\n");
	return finish(ti, r, what);
}

static int info(const struct request *rq)
{
	struct torpor_image *ti = image_context();
	const char *what;
	int r = codec_info(ti, rq->words[0], rq->flags, &what);

	return finish(ti, r, what);
}

static int show(const struct request *rq)
{
	struct codec_files files = {.in = rq->words[0]};
	struct torpor_image *ti = image_context();
	const char *what;
	int r = codec_decode(ti, &files, rq->flags | TORPOR_IMAGE_PRETTY, &what);

	return finish(ti, r, what);
}

static int explore(const struct request *rq)
{
	struct torpor_image *ti;
	int r;

	if (!codec_is_view(rq->words[1])) {
		fprintf(stderr,
			"usage: crit x [-h] dir {ps,fds,mems,rss}\ncrit x: error: argument what: "
			"invalid choice: '%s' (choose from 'ps', 'fds', 'mems', 'rss')\n",
			rq->words[1]);
		return CRIT_USAGE;
	}
	ti = image_context();
	r = codec_explore(ti, rq->words[0], rq->words[1]);
	return finish(ti, r, NULL);
}

int crit_main(int argc, char **argv)
{
	struct request rq;

	if (argc < 2) {
		print_usage(stderr);
		fprintf(stderr, "crit: error: too few arguments\n");
		return CRIT_FAILED;
	}
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0) {
		printf("4.2\n");
		return CRIT_OK;
	}
	for (const struct crit_command *c = commands; c->name; c++) {
		int r;

		if (strcmp(c->name, argv[1]) != 0)
			continue;
		r = parse(c, argc - 1, argv + 1, &rq);
		if (r != CRIT_OK)
			return r;
		if (!rq.help)
			return c->run(&rq);
		printf("usage: crit %s %s\n\n%s\n", c->name, c->usage, c->help);
		return CRIT_OK;
	}
	print_usage(stderr);
	fprintf(stderr,
		"crit: error: argument " NAMES
		": invalid choice: '%s' (choose from 'decode', 'encode', "
		"'info', 'x', 'show')\n",
		argv[1]);
	return CRIT_USAGE;
}
