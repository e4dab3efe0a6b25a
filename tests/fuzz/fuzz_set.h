/* SPDX-License-Identifier: Apache-2.0 */
/* A sample set of images in which one is replaced, the one of the kind that the input's magic says.
 */
#pragma once

#include "fuzz.h"

/* The directory, until the next call. NULL: the magic is of no image of the set. */
const struct img_dir *fuzz_set_with(const uint8_t *data, size_t size);
