/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel features by the names that `check --feature NAME` knows: one table of rows with a probe
 * and what is lost without it.
 */
#pragma once

#include "base/err.h"
#include "engine/options.h"

/*
 * The work of `check` without --tree: all features that torpor relies on, or the one of
 * --feature. Results go to stdout. 0: good; 1: something is missing (warned about by name);
 * ERR_INPUT for a name that isn't in the table.
 */
MUST_USE int features_check(const struct options *o, struct err *err);
/* The names, in table order. NULL behind the last. */
const char *feature_name(size_t index);
