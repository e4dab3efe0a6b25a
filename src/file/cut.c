/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting can't be undone, so it is the last thing that is done before the tree runs: a restore
 * that fails before that leaves the files alone. Between the check and that moment somebody may put
 * another file at the name, hence the second look at what is opened.
 */
#include "file/cut.h"

#include "base/auto.h"
#include "base/log.h"
#include "file/path.h"

#include <fcntl.h>
#include <inttypes.h>

struct cut {
	const char *name;
	dev_t dev;
	ino_t ino;
	uint64_t size;
};

struct rcuts {
	VEC(struct cut) list;
};

static int open_file(const struct rfiles *f, const char *name, dev_t dev, ino_t ino,
		     struct stat *st)
{
	auto_close int fd = openat(f->root, path_rel(name),
				   O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode) || st->st_dev != dev || st->st_ino != ino)
		return -ESTALE;
	return TAKE_FD(fd);
}

int cut_plan(struct rfiles *f, const char *name, const struct stat *st, uint64_t size)
{
	struct stat now;
	int fd = open_file(f, name, st->st_dev, st->st_ino, &now);

	if (fd < 0)
		return fd;
	fd_close(fd);
	if (!f->cuts)
		f->cuts = arena_new_of(f->a, struct rcuts);
	*vec_push(&f->cuts->list) = (struct cut){name, st->st_dev, st->st_ino, size};
	return 0;
}

static int cut(const struct rfiles *f, const struct cut *c, struct err *err)
{
	struct stat st;
	auto_close int fd = open_file(f, c->name, c->dev, c->ino, &st);

	if (fd == -ESTALE)
		return err_input(err, "%s: was replaced while its process was restored", c->name);
	if (fd < 0)
		return err_sys(err, fd, "%s: open it to cut it back", c->name);
	if ((uint64_t)st.st_size <= c->size)
		return 0;
	if (ftruncate(fd, (off_t)c->size) < 0)
		return err_sys(err, -errno, "%s: cut it back to %" PRIu64 " bytes", c->name,
			       c->size);
	log_info("%s: cut back from %" PRId64 " to %" PRIu64 " bytes", c->name, (int64_t)st.st_size,
		 c->size);
	return 0;
}

int rfiles_cut_back(struct rfiles *f, struct err *err)
{
	if (!f->cuts)
		return 0;
	vec_foreach (c, &f->cuts->list)
		TRY(cut(f, c, err));
	return 0;
}

void cuts_free(struct rfiles *f)
{
	if (f->cuts)
		vec_done(&f->cuts->list);
}
