/* SPDX-License-Identifier: Apache-2.0 */
/* Pages into an address space, from outside. */
#pragma once

#include "mem/plan.h"
#include "remote/target.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>

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
