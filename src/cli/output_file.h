/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears when all of it is there: written beside its final place and renamed at the
 * end, so that a failure leaves what was there before. A pipe or device is written to, never
 * replaced.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct output_file {
	int fd;
	const char *path; /* NULL: stdout */
	char *temporary;  /* NULL: `path` itself, a pipe or a device, or stdout */
};

/* NULL or "-": stdout. 0 or a negative errno. `path` has to outlive it. */
MUST_USE int output_file_open(struct output_file *o, const char *path);
/*
 * Not good: what was written goes. Else it gets this mode; 0: that of what it replaces, or of any
 * new file. 0, or the negative errno of what failed at last.
 */
MUST_USE int output_file_close(struct output_file *o, bool good, mode_t mode);
