/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image map: the picture goes into a new file beside the old one, which it then replaces. */
#include "base/parse.h"
#include "cli/image_words.h"
#include "cli/output_file.h"

#include <stdio.h>
#include <string.h>

struct map_words {
	const char *dir, *output;
	int format;
	image_numbers pids;
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

static int parse_words(const struct image_command *cmd, int argc, char **argv, struct map_words *w)
{
	const char *format = NULL;
	const struct image_option options[] = {
		{"output", 'o', IMAGE_TEXT, &w->output, 0},
		{"format", 0, IMAGE_TEXT, &format, 0},
		{"pid", 0, IMAGE_NUMBERS, &w->pids, 0},
		{"processes", 0, IMAGE_NUMBER, &w->max_processes, 0},
		{0},
	};
	int r = image_words(cmd, argc, argv, options, &w->dir, 1, 1);

	if (r != IMAGE_OK)
		return r;
	if (!w->output)
		return image_usage(cmd, "-o FILE is needed");
	w->format = format ? parse_format(format) : guess_format(w->output);
	if (w->format < 0 && format)
		return image_usage(cmd, "--format: '%s' is neither svg nor html", format);
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
	struct map_words w = {0};
	int r = parse_words(cmd, argc, argv, &w);

	if (r == IMAGE_OK) {
		struct torpor_image *ti = image_context();

		r = run(cmd, ti, &w);
		torpor_image_free(ti);
	}
	vec_done(&w.pids);
	return r;
}
