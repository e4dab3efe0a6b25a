/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image files as JSON texts, and back, of any length in little memory. The form is that of crit
 * (../shared/interfaces/CRIT.md); what it has no place for is added, so that decode and encode give
 * the same bytes for every file: message.h, payload.h, raw.h. docs/images.md tells of it all.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Called with the bytes of the input that are done; total 0: unknown. */
typedef void json_progress(void *arg, const char *name, uint64_t done, uint64_t total);

struct json_job {
	int in_fd, out_fd;	 /* the caller's */
	const char *name;	 /* of the input, for messages; its last part tells raw images */
	bool pretty;		 /* decode: indented, with words for numbers */
	bool sizes_only;	 /* decode: no payload, just its size */
	bool big_as_text;	 /* decode: numbers above 2^63 - 1 as strings */
	bool newline;		 /* decode: end the text with one */
	bool no_raw;		 /* decode: a file without a magic is refused */
	json_progress *progress; /* or NULL */
	void *progress_arg;
};

/*
 * ERR_INPUT: not an image, or a broken one; file, record and field are named. What was written to
 * out_fd until then is worth nothing. Returns the number of records, but for heads of pagemaps.
 */
MUST_USE int64_t json_decode_image(const struct json_job *job, struct err *err);
/* The same, and the kind of image ("RAW": no magic) in *ret_kind, to be freed. */
MUST_USE int64_t json_count_image(const struct json_job *job, char **ret_kind, struct err *err);
MUST_USE int json_encode_image(const struct json_job *job, struct err *err);
