/* SPDX-License-Identifier: Apache-2.0 */
/* FILE.bin beside the log FILE: when there is one, and what is printed of it when a command fails.
 */
#pragma once

#include "engine/options.h"

/* Stands before the last lines of a log that are printed with an error. */
#define LAST_HEADLINE "What was done last:\n"

/*
 * The log goes to `fd`, a file, from now on; to FILE.bin, too, if the options say so, and FILE's
 * first line tells. Where there can't be a FILE.bin all goes to FILE, with a warning. An older
 * FILE.bin goes in any case: it would be taken for this run's.
 */
void binary_log_begin(const struct options *o, int fd);
/* The rest of the log, if there is any, is text. */
void binary_log_end(void);
/* The last lines of FILE.bin to `fd`, with a headline; nothing if there is none. */
void binary_log_print_last(int fd);
