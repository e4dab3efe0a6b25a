/* SPDX-License-Identifier: Apache-2.0 */
/* Pages into an address space, from outside. */
#pragma once

#include "mem/plan.h"
#include "remote/target.h"

/* Writes all of them. The leader of t is entered; mappings and drops of the plan are done. */
MUST_USE int fill_pages(struct target *t, const struct fill *fills, size_t n, struct err *err);
