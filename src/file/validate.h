/* SPDX-License-Identifier: Apache-2.0 */
/* Restore: are the files what they were at the dump, as far as their policies want that? */
#pragma once

#include "file/kind.h"

/*
 * Looks at all files before anything is done: a warning for each that isn't, with what is wrong and
 * who uses it, and one error that sums them up. Files that have changed and have a copy in the
 * images are taken from there. Touches nothing.
 */
MUST_USE int validate_files(struct rfiles *f, struct err *err);
