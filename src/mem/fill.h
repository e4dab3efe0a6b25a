/* SPDX-License-Identifier: Apache-2.0 */
/* Pages into an address space, from outside. */
#pragma once

#include "mem/plan.h"
#include "remote/target.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>

/*
 * Transparent huge pages are made before they are filled: with one page touched (from outside),
 * MADV_COLLAPSE (6.1, by the task) turns the place into a huge page of zeroes whatever the policy,
 * and writing finds it there. Lists the ranges for that; pages of 2 MiB each.
 */
void fill_huge_ranges(const struct fill *fills, size_t n, range_vec *ret);
void fill_touch(const struct target *t, const range_vec *ranges);

/* Is it worth a userfaultfd? */
bool fill_wants_uffd(const struct fill *fills, size_t n);
/* The call that makes one in the task: its flags. */
#define FILL_UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* 5.11: no privilege needed, as we don't serve faults at all */
#endif

/*
 * Writes all of them, by the threads of `pool` if it is worth it; mappings and drops of the plan
 * are done. `uffd` is a userfaultfd of the task (its number there) or -1; it has to be closed there
 * afterwards.
 */
MUST_USE int fill_pages(struct target *t, const struct fill *fills, size_t n, int uffd,
			struct pool *pool, struct err *err);
