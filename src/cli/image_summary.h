/* SPDX-License-Identifier: Apache-2.0 */
/* Inside `torpor image summary`. */
#pragma once

#include "cli/image.h"
#include "cli/image_text.h"

struct summary_view {
	json_t *j; /* what torpor_image_summary() gave */
	struct style style;
	bool full; /* nothing is folded */
};

/* The processes as a tree, folded so that it takes no more than some 20 lines, unless v->full. */
void summary_print_tree(const struct summary_view *v);
