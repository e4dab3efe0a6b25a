/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image core: into a new file beside the old one, which it then replaces. */
#include "cli/image_words.h"
#include "cli/output_file.h"

#include <stdio.h>
#include <string.h>

struct core_words {
	const char *dir, *output;
	uint32_t pid;
	unsigned int flags;
};

static int parse_words(const struct image_command *cmd, int argc, char **argv, struct core_words *w)
{
	const struct image_option options[] = {
		{"output", 'o', IMAGE_TEXT, &w->output, 0},
		{"pid", 'p', IMAGE_NUMBER, &w->pid, 0},
		{"full", 0, IMAGE_BITS, &w->flags, TORPOR_CORE_FULL},
		{0},
	};
	int r = image_words(cmd, argc, argv, options, &w->dir, 1, 1);

	if (r == IMAGE_OK && !w->pid)
		return image_usage(cmd, "--pid PID is needed");
	if (r == IMAGE_OK && !w->output)
		return image_usage(cmd, "-o FILE is needed");
	return r;
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
