/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command needs around it: privileges, directories and the log; and how it ends: one line
 * for an error, and the exit status.
 */
#pragma once

#include "base/err.h"
#include "engine/options.h"
#include "image/image.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_SCRIPT_FAILED = 255, EXIT_GONE_COMMAND = 255 };

struct session {
	struct img_dir dir;
	int log_fd;
};

/* privilege.c: may we try at all? Complains on stdout, as the contract says. */
bool privilege_check(const struct options *o);

/* Descriptors 0 to 2 exist from here on, so that no file of ours can become one of them. */
void session_guard_stdio(void);
/*
 * In the order that decides where a failure is reported: images directory, chdir to the work
 * directory (up to here: stderr), log file.
 */
MUST_USE int session_open(struct options *o, struct session *s, struct err *err);
void session_close(struct session *s);
/* One line to the log; if that is a file, to stderr as well. */
void session_report(const struct err *err);
/* One of the final lines: when it went well at level 3, else at level 1. */
void session_status(bool good, const char *text);

/* The commands, one file each. They return the exit status. */
int verb_dump(const struct options *o, struct session *s);
int verb_pre_dump(const struct options *o, struct session *s);
int verb_restore(const struct options *o, struct session *s);
int verb_dedup(const struct options *o, struct session *s);
int verb_check(const struct options *o);
