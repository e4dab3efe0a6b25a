/* SPDX-License-Identifier: Apache-2.0 */
#include "image/parent.h"

#include "base/auto.h"
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static int cannot_use(const char *prev, struct err *err, int code)
{
	err_sys(err, code, "--prev-images-dir %s", prev);
	return err_hint(err, "the path is relative to the images directory, as ../1 is");
}

/* Readable, and something else than where the new images go. */
static int check_prev(const struct img_dir *dir, const char *prev, struct stat *ret,
		      struct err *err)
{
	auto_close int fd = openat(dir->fd, prev, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat own;

	if (fd < 0)
		return cannot_use(prev, err, -errno);
	if (fstat(fd, ret) < 0 || fstat(dir->fd, &own) < 0)
		return cannot_use(prev, err, -errno);
	if (ret->st_dev != own.st_dev || ret->st_ino != own.st_ino)
		return 0;
	err_input(err, "--prev-images-dir %s: leads back to the images directory, %s", prev,
		  dir->path);
	return err_hint(err, "give each dump a directory of its own");
}

/* There is one: is it the same? */
static void keep_link(const struct img_dir *dir, const char *prev, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir->fd, PARENT_LINK, target, sizeof(target) - 1);
	struct stat is;

	target[n > 0 ? n : 0] = '\0';
	if (fstatat(dir->fd, PARENT_LINK, &is, 0) < 0 || is.st_dev != st->st_dev ||
	    is.st_ino != st->st_ino)
		log_warn(
			"%s has a link '%s' already, to %s: it is kept, --prev-images-dir %s isn't "
			"used",
			dir->path, PARENT_LINK, target, prev);
}

int parent_link(const struct img_dir *dir, const char *prev, struct err *err)
{
	struct stat st;

	TRY(check_prev(dir, prev, &st, err));
	if (prev[0] == '/')
		log_warn("--prev-images-dir %s is an absolute path: the images can't be moved",
			 prev);
	if (symlinkat(prev, dir->fd, PARENT_LINK) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(err, -errno, "%s: make the link '%s'", dir->path, PARENT_LINK);
	keep_link(dir, prev, &st);
	return 0;
}
