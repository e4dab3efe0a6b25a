/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes that had a name for a moment: made, opened and unlinked again. */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* What to make. Exactly one of mode's type, or an existing file to take (`from`). */
struct plant {
	int root;	  /* names are relative to it */
	const char *name; /* absolute */
	const char *from; /* absolute, or NULL: one more link to this file */
	mode_t mode;	  /* type and permissions; directories and files are made private */
	dev_t rdev;
	const char *target; /* of a symlink */
};

/*
 * Makes it, opens it and removes the name; directories on the way that are missing are made and
 * removed too. The descriptor shows the name as "name (deleted)". A regular file's is O_RDWR, all
 * others' O_PATH. -EEXIST if the name is taken. Even if we are killed meanwhile, nothing stays.
 */
MUST_USE int plant_open(const struct plant *p);
