/* SPDX-License-Identifier: Apache-2.0 */
/* The name of an open file: what the kernel shows, and whether it still leads there. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum path_state {
	PATH_LINKED,   /* the name leads to this very inode */
	PATH_UNLINKED, /* the kernel says that the name was removed */
	PATH_HIDDEN,   /* the name leads elsewhere or nowhere, though it wasn't removed */
};

/* The length of `shown` without a trailing " (deleted)", or 0 if it has none. */
size_t path_deleted_len(const char *shown);
/* An absolute name as an argument of openat(root, ...): "/" is ".". */
const char *path_rel(const char *name);
/*
 * What became of the file that readlink shows as `shown` (absolute). *ret_name is the name without
 * the kernel's mark, in the arena.
 */
enum path_state path_find(int root, const char *shown, const struct stat *st, struct arena *a,
			  const char **ret_name);
/* The pid of "/proc/PID/...": 0 if it isn't such a name. */
int path_proc_pid(const char *name);
