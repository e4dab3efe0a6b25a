/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name that must not survive us: between creating and unlinking it, a SIGKILL would leave it on
 * disk. So both happen under guard_run(), which always gets to its end.
 */
#include "file/plant.h"

#include "base/parse.h"
#include "file/guard.h"
#include "file/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEPTH 64

struct job {
	const struct plant *p;
	char path[PATH_MAX];	/* relative; cut at slashes to name its directories */
	size_t made[MAX_DEPTH]; /* lengths of the directories that were made */
	int nmade;
};

/* Like mkdir -p for all components but the last. */
static int make_dirs(struct job *j)
{
	for (char *p = j->path; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (mkdirat(j->p->root, j->path, 0700) == 0) {
			if (j->nmade == MAX_DEPTH) {
				(void)unlinkat(j->p->root, j->path, AT_REMOVEDIR);
				*p = '/';
				return -ENAMETOOLONG;
			}
			j->made[j->nmade++] = strlen(j->path);
		} else if (errno != EEXIST && errno != EROFS) {
			*p = '/';
			return -errno;
		}
	}
	return 0;
}

static void remove_dirs(struct job *j)
{
	while (j->nmade > 0) {
		char *end = &j->path[j->made[--j->nmade]];

		*end = '\0';
		(void)unlinkat(j->p->root, j->path, AT_REMOVEDIR);
		*end = '/';
	}
}

static int make(const struct job *j)
{
	const struct plant *p = j->p;

	if (p->from)
		return linkat(p->root, path_rel(p->from), p->root, j->path, 0);
	switch (p->mode & S_IFMT) {
	case S_IFDIR:
		return mkdirat(p->root, j->path, 0700);
	case S_IFLNK:
		return symlinkat(p->target, p->root, j->path);
	default:
		return mknodat(p->root, j->path, p->mode & (S_IFMT | 0600), p->rdev);
	}
}

static int open_made(const struct job *j)
{
	int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, fd;

	if (!j->p->from && S_ISREG(j->p->mode))
		flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
	fd = openat(j->p->root, j->path, flags);
	return fd < 0 ? -errno : fd;
}

static int run(void *arg)
{
	struct job *j = arg;
	int r = make_dirs(j);

	if (r == 0) {
		r = make(j) < 0 ? -errno : 0;
		if (r == 0) {
			r = open_made(j);
			(void)unlinkat(j->p->root, j->path,
				       !j->p->from && S_ISDIR(j->p->mode) ? AT_REMOVEDIR : 0);
		}
	}
	remove_dirs(j);
	return r;
}

int plant_open(const struct plant *p)
{
	struct job j = {.p = p};

	if (strlen(path_rel(p->name)) >= sizeof(j.path))
		return -ENAMETOOLONG;
	str_copy(j.path, sizeof(j.path), path_rel(p->name));
	return guard_run(run, &j);
}
