/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image core: into a new file beside the old one, which it then replaces. */
#include "base/auto.h"
#include "base/parse.h"
#include "cli/image.h"

#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

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

static int say(const struct image_command *cmd, const char *what, const char *name)
{
	fprintf(stderr, "torpor image %s: error: %s %s: %s\n", cmd->name, what, name,
		strerror(errno));
	return IMAGE_FAILED;
}

/* Memory may hold secrets: the file is its owner's only. */
static int write_file(const struct image_command *cmd, struct torpor_image *ti,
		      const struct core_words *w)
{
	auto_free char *name = NULL;
	auto_close int fd = -EBADF;
	int r;

	if (asprintf(&name, "%s.XXXXXX", w->output) < 0)
		return say(cmd, "create", w->output);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return say(cmd, "create", name);
	r = write_core(cmd, ti, w, fd);
	if (r == IMAGE_OK && rename(name, w->output) < 0)
		r = say(cmd, "rename to", w->output);
	if (r != IMAGE_OK)
		unlink(name);
	return r;
}

/* A pipe or a device is written to, never replaced. */
static bool is_special(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 && !S_ISREG(st.st_mode);
}

static int write_special(const struct image_command *cmd, struct torpor_image *ti,
			 const struct core_words *w)
{
	auto_close int fd = open(w->output, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? say(cmd, "open", w->output) : write_core(cmd, ti, w, fd);
}

int image_core(const struct image_command *cmd, int argc, char **argv)
{
	struct core_words w = {0};
	struct torpor_image *ti;
	int r = parse_words(cmd, argc, argv, &w);

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	if (strcmp(w.output, "-") == 0)
		r = write_core(cmd, ti, &w, STDOUT_FILENO);
	else if (is_special(w.output))
		r = write_special(cmd, ti, &w);
	else
		r = write_file(cmd, ti, &w);
	torpor_image_free(ti);
	return r;
}
