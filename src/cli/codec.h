/* SPDX-License-Identifier: Apache-2.0 */
/* What `torpor image` and `crit` share: files and standard streams for the codec of the library. */
#pragma once

#include "inspect/torpor-image.h"

#include <stdbool.h>

struct codec_files {
	const char *in;	  /* NULL: stdin */
	const char *out;  /* NULL: stdout */
	const char *name; /* for messages, and for the kind of file; NULL: that of `in` */
};

/*
 * 0 or a negative errno; what went wrong is in *ret_what, if it isn't the library's error (then it
 * is NULL). A file is written beside its final place and renamed at the end, so that a failure
 * leaves what was there; in and out may be one file.
 */
int codec_decode(struct torpor_image *ti, const struct codec_files *files, unsigned int flags,
		 const char **ret_what);
int codec_encode(struct torpor_image *ti, const struct codec_files *files, const char **ret_what);
/* Prints kind and number of records to stdout, as crit does. */
int codec_info(struct torpor_image *ti, const char *in, unsigned int flags, const char **ret_what);
/* Prints ps, fds, mems or rss of an images directory to stdout; is it one of these? */
bool codec_is_view(const char *what);
int codec_explore(struct torpor_image *ti, const char *dir, const char *what);
