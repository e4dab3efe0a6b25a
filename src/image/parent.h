/* SPDX-License-Identifier: Apache-2.0 */
/* The link `parent` of an images directory, to the images that those in it build on. */
#pragma once

#include "image/image.h"

#define PARENT_LINK "parent"

/*
 * Makes the link lead to `prev`, which is a path relative to dir (--prev-images-dir). A link that
 * is there already is kept, with a warning if it leads elsewhere. Refused: what can't be read, what
 * isn't a directory, and the directory itself.
 */
MUST_USE int parent_link(const struct img_dir *dir, const char *prev, struct err *err);
