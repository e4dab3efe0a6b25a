/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image map: the picture goes into a new file beside the old one, which it then replaces. */
#include "base/parse.h"
#include "base/vec.h"
#include "cli/image.h"
#include "cli/output_file.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct map_words {
	const char *dir, *output;
	int format; /* -1: as the output's name says */
	VEC(uint32_t) pids;
	uint32_t max_processes;
};

static int parse_format(const char *word)
{
	if (strcmp(word, "svg") == 0)
		return TORPOR_MAP_SVG;
	return strcmp(word, "html") == 0 ? TORPOR_MAP_HTML : -1;
}

/* By the suffix. */
static int guess_format(const char *name)
{
	if (str_ends(name, ".svg"))
		return TORPOR_MAP_SVG;
	return str_ends(name, ".html") || str_ends(name, ".htm") ? TORPOR_MAP_HTML : -1;
}

/* One option, with its argument. */
static int take_option(const struct image_command *cmd, int c, struct map_words *w)
{
	switch (c) {
	case 'o':
		w->output = optarg;
		return IMAGE_OK;
	case 'f':
		w->format = parse_format(optarg);
		return w->format < 0
			       ? image_usage(cmd, "--format: '%s' is neither svg nor html", optarg)
			       : IMAGE_OK;
	case 'p':
		if (parse_u32(optarg, 10, vec_push(&w->pids)) < 0)
			return image_usage(cmd, "--pid: '%s' isn't a pid", optarg);
		return IMAGE_OK;
	case 'n':
		if (parse_u32(optarg, 10, &w->max_processes) < 0 || !w->max_processes)
			return image_usage(cmd, "--processes: '%s' isn't a number above 0", optarg);
		return IMAGE_OK;
	default:
		return image_usage(cmd, "wrong option");
	}
}

static int parse_words(const struct image_command *cmd, int argc, char **argv, struct map_words *w)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"format", required_argument, NULL, 'f'},
		{"pid", required_argument, NULL, 'p'},
		{"processes", required_argument, NULL, 'n'},
		{NULL},
	};
	int c;

	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		int r = take_option(cmd, c, w);

		if (r != IMAGE_OK)
			return r;
	}
	if (optind + 1 != argc)
		return image_usage(cmd, "one images directory is needed");
	if (!w->output)
		return image_usage(cmd, "-o FILE is needed");
	w->dir = argv[optind];
	if (w->format < 0)
		w->format = guess_format(w->output);
	if (w->format < 0)
		return image_usage(cmd, "say --format: '%s' ends neither with .svg nor with .html",
				   w->output);
	return IMAGE_OK;
}

static int draw(const struct image_command *cmd, struct torpor_image *ti,
		struct torpor_checkpoint *cp, const struct map_words *w, int fd)
{
	struct torpor_map_options options = {
		.pids = w->pids.data,
		.npids = w->pids.len,
		.max_processes = w->max_processes,
	};
	int r = torpor_checkpoint_map(cp, fd, (enum torpor_map_format)w->format, &options);

	if (r != 0)
		image_failed(cmd, ti);
	return r;
}

/* Something that was drawn although a part couldn't be read is kept. */
static int draw_to_file(const struct image_command *cmd, struct torpor_image *ti,
			struct torpor_checkpoint *cp, const struct map_words *w)
{
	struct output_file out;
	int drawn = 0, r = output_file_open(&out, w->output);

	if (r == 0) {
		drawn = draw(cmd, ti, cp, w, out.fd);
		r = output_file_close(&out, drawn >= 0, 0);
	}
	if (r == 0)
		return drawn == 0 ? IMAGE_OK : IMAGE_FAILED;
	fprintf(stderr, "torpor image %s: error: %s: %s\n", cmd->name, w->output, strerror(-r));
	return IMAGE_FAILED;
}

static int run(const struct image_command *cmd, struct torpor_image *ti, const struct map_words *w)
{
	struct torpor_checkpoint *cp;
	int r;

	if (torpor_checkpoint_open(ti, w->dir, &cp) < 0)
		return image_failed(cmd, ti);
	r = draw_to_file(cmd, ti, cp, w);
	torpor_checkpoint_close(cp);
	return r;
}

int image_map(const struct image_command *cmd, int argc, char **argv)
{
	struct map_words w = {.format = -1};
	int r = parse_words(cmd, argc, argv, &w);

	if (r == IMAGE_OK) {
		struct torpor_image *ti = image_context();

		r = run(cmd, ti, &w);
		torpor_image_free(ti);
	}
	vec_done(&w.pids);
	return r;
}
