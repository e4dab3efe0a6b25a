/* SPDX-License-Identifier: Apache-2.0 */
/* Restore: which processes of the images use a file, and how. For messages. */
#pragma once

#include "base/map.h"
#include "file/kind.h"

/* Of one file, or of what is to be one in a message. All 0 at first. */
struct users {
	char text[480]; /* "pid 812 (nginx): fd 3, fd 4; pid 813 (nginx): mapped at 7f0000400000" */
	size_t len;
	uint32_t pid, mapped_by; /* who was named last */
	unsigned int left_out;	 /* processes that there was no room for */
};

/*
 * ids: file ids to places in `users`. Walks the images of all tasks once; what can't be read of
 * them is left out.
 */
void users_find(struct rfiles *f, const struct map *ids, struct users *users);
