/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image core: into a new file beside the old one, which it then replaces. */
#include "base/parse.h"
#include "cli/image.h"
#include "cli/output_file.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct core_words {
	const char *dir, *output;
	uint32_t pid;
	unsigned int flags;
};

static int take_option(const struct image_command *cmd, int c, struct core_words *w)
{
	switch (c) {
	case 'o':
		w->output = optarg;
		return IMAGE_OK;
	case 'p':
		if (parse_u32(optarg, 10, &w->pid) < 0 || !w->pid)
			return image_usage(cmd, "--pid: '%s' isn't a pid", optarg);
		return IMAGE_OK;
	case 'f':
		w->flags |= TORPOR_CORE_FULL;
		return IMAGE_OK;
	default:
		return image_usage(cmd, "wrong option");
	}
}

static int parse_words(const struct image_command *cmd, int argc, char **argv, struct core_words *w)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"pid", required_argument, NULL, 'p'},
		{"full", no_argument, NULL, 'f'},
		{NULL},
	};
	int c;

	while ((c = getopt_long(argc, argv, "o:p:", options, NULL)) != -1) {
		int r = take_option(cmd, c, w);

		if (r != IMAGE_OK)
			return r;
	}
	if (optind + 1 != argc)
		return image_usage(cmd, "one images directory is needed");
	if (!w->pid)
		return image_usage(cmd, "--pid PID is needed");
	if (!w->output)
		return image_usage(cmd, "-o FILE is needed");
	w->dir = argv[optind];
	return IMAGE_OK;
}

static int write_core(const struct image_command *cmd, struct torpor_image *ti,
		      const struct core_words *w, int fd)
{
	struct torpor_checkpoint *cp = NULL;
	int r = torpor_checkpoint_open(ti, w->dir, &cp);

	if (r == 0)
		r = torpor_checkpoint_core(cp, w->pid, fd, w->flags);
	torpor_checkpoint_close(cp);
	return r < 0 ? image_failed(cmd, ti) : IMAGE_OK;
}

/* Memory may hold secrets: the file is its owner's only. */
static int write_file(const struct image_command *cmd, struct torpor_image *ti,
		      const struct core_words *w)
{
	struct output_file out;
	int status = IMAGE_FAILED, r = output_file_open(&out, w->output);

	if (r == 0) {
		status = write_core(cmd, ti, w, out.fd);
		r = output_file_close(&out, status == IMAGE_OK, 0600);
	}
	if (r == 0)
		return status;
	fprintf(stderr, "torpor image %s: error: %s: %s\n", cmd->name, w->output, strerror(-r));
	return IMAGE_FAILED;
}

int image_core(const struct image_command *cmd, int argc, char **argv)
{
	struct core_words w = {0};
	struct torpor_image *ti;
	int r = parse_words(cmd, argc, argv, &w);

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	r = write_file(cmd, ti, &w);
	torpor_image_free(ti);
	return r;
}
