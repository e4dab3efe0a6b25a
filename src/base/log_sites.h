/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside base/: the call sites of log_debug() and the like, as the binary log has them: a format is
 * translated once, when the log is opened, into steps that say how to take each argument off the
 * list and what to store.
 */
#pragma once

#include "base/log.h"

#include <stddef.h>
#include <stdint.h>

enum step {
	STEP_INT = 1,
	STEP_LONG,
	STEP_DOUBLE,
	STEP_LDOUBLE,
	STEP_ERRNO,
	STEP_STR,
	STEP_STR_ARG, /* the argument before is its precision */
	STEP_STR_MAX, /* its precision follows, in two bytes */
	STEP_TEXT,    /* the whole line, formatted */
};

/* Fills s->steps. */
void log_site_prepare(struct log_site *s);
/* Puts its entry of the log's table (log_file.h) there, unless it is NULL. Returns its length. */
size_t log_site_put(const struct log_site *s, uint8_t *to);
