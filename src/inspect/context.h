/* SPDX-License-Identifier: Apache-2.0 */
/* Inside inspect/: the context of the public interface (torpor-image.h). */
#pragma once

#include "base/err.h"
#include "inspect/torpor-image.h"

struct torpor_image {
	struct err err;
	torpor_image_progress *progress;
	void *progress_arg;
};

/* First in every public function: forgets the last error. The struct to give to what may fail. */
struct err *context_begin(struct torpor_image *ti);
void context_progress(const struct torpor_image *ti, const char *what, uint64_t done,
		      uint64_t total);
