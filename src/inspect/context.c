/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/context.h"

#include "base/arena.h"
#include "base/log.h"

#include <stdlib.h>

struct torpor_image *torpor_image_new(void)
{
	/* What there is to say is in errors and results: nothing goes to anybody's stderr. */
	log_init(LOG_NONE);
	return xcalloc(1, sizeof(struct torpor_image));
}

void torpor_image_free(struct torpor_image *ti)
{
	free(ti);
}

int torpor_image_version(void)
{
	return TORPOR_IMAGE_VERSION;
}

const char *torpor_image_error(const struct torpor_image *ti)
{
	return ti->err.text;
}

const char *torpor_image_hint(const struct torpor_image *ti)
{
	return ti->err.hint;
}

void torpor_image_on_progress(struct torpor_image *ti, torpor_image_progress *fn, void *arg)
{
	ti->progress = fn;
	ti->progress_arg = arg;
}

struct err *context_begin(struct torpor_image *ti)
{
	ti->err = ERR_INIT;
	return &ti->err;
}

void context_progress(const struct torpor_image *ti, const char *what, uint64_t done,
		      uint64_t total)
{
	if (ti->progress)
		ti->progress(ti->progress_arg, what, done, total);
}
