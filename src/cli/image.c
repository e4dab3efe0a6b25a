/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/image.h"

#include "base/auto.h"
#include "cli/tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* clang-format off */
static const struct image_command commands[] = {
	{"decode", "[-i FILE] [-o FILE] [--pretty] [--kind NAME]",
	 "an image file as JSON", image_decode},
	{"encode", "[-i FILE] [-o FILE]", "JSON as an image file", image_encode},
	{"show", "FILE [--nopl]", "an image file as JSON for people", image_show},
	{"x", "DIR ps|fds|mems|rss", "processes, descriptors, mappings or pages of a checkpoint",
	 image_explore},
	{"reseal", "DIR", "make the list of checksums anew, after images were edited", image_reseal},
	{"info", "FILE", "the kind of an image file, and its number of records", image_info},
	{"map", "DIR -o FILE.svg|FILE.html [--format svg|html] [--pid PID]... [--processes N]",
	 "draw the address spaces", image_map},
	{"core", "DIR --pid PID -o FILE [--full]", "write an ELF core file of a process, for gdb",
	 image_core},
	{"mem",
	 "DIR [--pid PID] [--addr A] [--len N|all] [--raw] [-o FILE] [--no-files] [--json]\n"
	 "      [--search PATTERN | --strings [--min N]]",
	 "list mappings, show memory, search in it", image_mem},
	{"summary", "[--full] [--json] DIR", "what was frozen, when, how much, and what a restore will need",
	 image_summary},
	{"check", "[--no-verify] [--json] DIR", "verify the images as a restore would, and list every problem",
	 image_check_dir},
	{"diff", "[--all] [--json] A B", "what changed from checkpoint A to checkpoint B", image_diff},
	{NULL},
};
/* clang-format on */

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: torpor image COMMAND ...\n\nCommands:\n");
	for (const struct image_command *c = commands; c->name; c++)
		fprintf(out, "  %s %s\n      %s\n", c->name, c->args, c->help);
	fprintf(out, "\nSee torpor-image(8).\n");
}

/* --------------------------------------------------------------- progress */

/* One per run of the program. */
static struct {
	struct timespec begun, shown;
	bool visible;
} progress;

void image_progress_hide(void)
{
	if (progress.visible)
		fputs("\r\033[K", stderr);
	progress.visible = false;
}

static double seconds_since(const struct timespec *then, const struct timespec *now)
{
	return (double)(now->tv_sec - then->tv_sec) + (double)(now->tv_nsec - then->tv_nsec) / 1e9;
}

/* One line that is written over; nothing during the first second. */
static void show_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
	bool last = total && done >= total;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!progress.begun.tv_sec)
		progress.begun = now;
	if (seconds_since(&progress.begun, &now) < 1)
		return;
	if (!last && progress.shown.tv_sec && seconds_since(&progress.shown, &now) < 0.2)
		return;
	if (last) {
		image_progress_hide();
		return;
	}
	progress.shown = now;
	progress.visible = true;
	if (strcmp(what, "processes") == 0)
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " processes\033[K", done, total);
	else if (total)
		fprintf(stderr, "\r%s: %3.0f%% of %.1f MiB\033[K", what,
			100.0 * (double)done / (double)total, (double)total / 1048576);
	else
		fprintf(stderr, "\r%s: %.1f MiB\033[K", what, (double)done / 1048576);
}

struct torpor_image *image_context(void)
{
	struct torpor_image *ti = torpor_image_new();

	if (isatty(STDERR_FILENO))
		torpor_image_on_progress(ti, show_progress, NULL);
	return ti;
}

/* ----------------------------------------------------------------- errors */

int image_failed(const struct image_command *cmd, const struct torpor_image *ti)
{
	const char *hint = torpor_image_hint(ti);

	image_progress_hide();
	fprintf(stderr, "torpor image %s: error: %s%s%s\n", cmd->name, torpor_image_error(ti),
		hint[0] ? "; " : "", hint);
	return IMAGE_FAILED;
}

int image_usage(const struct image_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "torpor image %s: error: ", cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nUsage: torpor image %s %s\n", cmd->name, cmd->args);
	return IMAGE_USAGE;
}

bool image_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

/* --------------------------------------------------------------- commands */

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

int image_main(int argc, char **argv)
{
	int status;

	if (argc < 2) {
		print_usage(stderr);
		return IMAGE_USAGE;
	}
	if (is_help(argv[1])) {
		print_usage(stdout);
		return IMAGE_OK;
	}
	for (const struct image_command *c = commands; c->name; c++) {
		if (strcmp(c->name, argv[1]) != 0)
			continue;
		if (argc > 2 && is_help(argv[2])) {
			printf("Usage: torpor image %s %s\n%s\n", c->name, c->args, c->help);
			return IMAGE_OK;
		}
		status = c->run(c, argc - 1, argv + 1);
		image_progress_hide();
		return status;
	}
	fprintf(stderr, "torpor image: error: unknown command '%s'\n", argv[1]);
	print_usage(stderr);
	return IMAGE_USAGE;
}
