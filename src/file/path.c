/* SPDX-License-Identifier: Apache-2.0 */
/*
 * d_path() gives the name of an open file as it is now, so a renamed file shows its new name by
 * itself. If the name was removed it appends " (deleted)". That mark is no proof: a file may
 * really be called so, and a removed name may have been linked back (linkat). Only the inode
 * tells, so names are looked up before they are believed.
 */
#include "file/path.h"

#include "base/parse.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define MARK " (deleted)"

size_t path_deleted_len(const char *shown)
{
	size_t len = strlen(shown), mark = sizeof(MARK) - 1;

	if (len <= mark || strcmp(shown + len - mark, MARK))
		return 0;
	return len - mark;
}

const char *path_rel(const char *name)
{
	while (*name == '/')
		name++;
	return *name ? name : ".";
}

static bool leads_to(int root, const char *name, const struct stat *st)
{
	struct stat now;

	return fstatat(root, path_rel(name), &now, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
	       now.st_dev == st->st_dev && now.st_ino == st->st_ino &&
	       (now.st_mode & S_IFMT) == (st->st_mode & S_IFMT);
}

enum path_state path_find(int root, const char *shown, const struct stat *st, struct arena *a,
			  const char **ret_name)
{
	size_t len = path_deleted_len(shown);

	*ret_name = arena_str(a, shown);
	if (leads_to(root, shown, st))
		return PATH_LINKED;
	if (!len)
		return PATH_HIDDEN;
	*ret_name = arena_printf(a, "%.*s", (int)len, shown);
	return leads_to(root, *ret_name, st) ? PATH_LINKED : PATH_UNLINKED;
}

int path_proc_pid(const char *name)
{
	const char *p = str_after(name, "/proc/");
	uint64_t pid;

	if (!p || *p < '0' || *p > '9' || !scan_u64(&p, 10, &pid) || (*p && *p != '/') ||
	    pid == 0 || pid > INT_MAX)
		return 0;
	return (int)pid;
}
