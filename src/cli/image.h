/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torpor image: a front of libtorpor-image. One file per command or two, one row each in image.c.
 * The commands take their own options, print results on stdout and errors on stderr, and return the
 * exit status: 0; 1 after a failure, and for what the command's manual says; 2 for wrong words.
 */
#pragma once

#include "inspect/torpor-image.h"

#include <stdbool.h>
#include <stdint.h>

enum { IMAGE_OK = 0, IMAGE_FAILED = 1, IMAGE_USAGE = 2 };

struct image_command {
	const char *name;
	const char *args;
	const char *help;
	/* argv[0] is the command's name. */
	int (*run)(const struct image_command *cmd, int argc, char **argv);
};

/* "torpor image NAME: error: TEXT; HINT" of the context's last error. Returns IMAGE_FAILED. */
int image_failed(const struct image_command *cmd, const struct torpor_image *ti);
/* Wrong words: the reason, and how the command is used. Returns IMAGE_USAGE. */
int image_usage(const struct image_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A context that shows progress on stderr, if that is a terminal, once a second has passed. */
struct torpor_image *image_context(void);
/* Before something else is printed on the terminal. */
void image_progress_hide(void);
/* Is stdout a terminal that wants colour? (NO_COLOR, TERM=dumb: no.) */
bool image_colour(void);

/* The commands. */
int image_decode(const struct image_command *cmd, int argc, char **argv);
int image_encode(const struct image_command *cmd, int argc, char **argv);
int image_show(const struct image_command *cmd, int argc, char **argv);
int image_info(const struct image_command *cmd, int argc, char **argv);
int image_explore(const struct image_command *cmd, int argc, char **argv);
int image_reseal(const struct image_command *cmd, int argc, char **argv);
int image_summary(const struct image_command *cmd, int argc, char **argv);
int image_check_dir(const struct image_command *cmd, int argc, char **argv);
int image_diff(const struct image_command *cmd, int argc, char **argv);
int image_mem(const struct image_command *cmd, int argc, char **argv);
int image_core(const struct image_command *cmd, int argc, char **argv);
int image_map(const struct image_command *cmd, int argc, char **argv);
