/* SPDX-License-Identifier: Apache-2.0 */
/* Restore: files that are cut back to the size that they had at the dump. */
#pragma once

#include "file/kind.h"

/*
 * This file (what fstatat showed of it) shall be `size` bytes long again. Tries whether it can be
 * written to; changes nothing. Negative errno if it can't.
 */
MUST_USE int cut_plan(struct rfiles *f, const char *name, const struct stat *st, uint64_t size);
void cuts_free(struct rfiles *f);
