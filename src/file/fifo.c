/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named fifos: a name (a REG entry that carries path, flags and owner, unlinked names too) and a
 * pipe buffer (see pipe.c). At the restore torpor first opens the fifo for reading and writing, so
 * that no later open waits for a partner.
 */
#include "file/pipe.h"
#include "file/reg.h"
#include "image/schema/fifo.pb-c.h"
#include "image/schema/regfile.pb-c.h"

#include <errno.h>
#include <fcntl.h>

/* ------------------------------------------------------------------ dump */

static bool fifo_match(struct files *f, const struct fdesc *d)
{
	(void)f;
	return S_ISFIFO(d->st.st_mode) && d->name[0] == '/' && !(d->info.flags & O_PATH);
}

static int fifo_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	FifoEntry *e = arena_new_of(f->a, FifoEntry);

	fifo_entry__init(e);
	e->id = id;
	e->pipe_id = (uint32_t)d->st.st_ino;
	e->has_regf_id = true;
	e->regf_id = files_new_id(f);
	TRY(reg_dump_as(f, d, e->regf_id, err));
	files_entry(f, FD_TYPES__FIFO, id)->fifo = e;
	pipe_note(f, &f->fifos, d, e->pipe_id);
	return 0;
}

static int fifo_dump_finish(struct files *f, struct mem_stats *stats, struct err *err)
{
	(void)stats;
	return pipes_write(f, f->fifos, IMG_FIFO_DATA, err);
}

static void fifo_dump_done(struct files *f)
{
	pipes_done(f->fifos);
}

/* --------------------------------------------------------------- restore */

static int fifo_load_all(struct rfiles *f, struct err *err)
{
	return rpipes_load(f, IMG_FIFO_DATA, &f->fifos, err);
}

static int fifo_load(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const FifoEntry *e = rf->e->fifo;

	if (!e || e->id != rf->id)
		return err_input(err, "no fifo_entry with this id");
	if (!e->has_regf_id)
		return err_input(err, "fifo without a path");
	(void)rpipe_get(f->fifos, e->pipe_id);
	return 0;
}

static int fifo_link(struct rfiles *f, struct rfile *rf, struct err *err)
{
	struct rfile *reg;

	TRY(rfiles_get(f, rf->e->fifo->regf_id, FD_TYPES__REG, "fifo", &reg, err));
	if (reg->e->reg->has_mode && !S_ISFIFO(reg->e->reg->mode))
		return err_input(err, "%s isn't a fifo", rfile_name(reg));
	rf->priv = reg;
	rf->flags = reg->e->reg->flags;
	return rfile_load_fown(rf, reg->e->reg->fown, err);
}

static int fifo_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err)
{
	struct rpipe *p = rpipe_get(f->fifos, rf->e->fifo->pipe_id);
	struct rfile *reg = rf->priv;

	(void)t;
	if (p->w < 0) {
		p->w = reg_open_as(f, reg, O_RDWR | O_NONBLOCK, err);
		if (p->w < 0)
			return p->w;
		TRY(rpipe_set_size(p, err));
	}
	return reg_open_as(f, reg, rf->flags, err);
}

static int fifo_finish(struct rfiles *f, struct err *err)
{
	return rpipes_fill(f->fifos, err);
}

static void fifo_done(struct rfiles *f)
{
	rpipes_done(f->fifos);
}

static void fifo_describe(const struct rfile *rf, char *buf, size_t size)
{
	snprintf(buf, size, "%s", rfile_name(rf->priv));
}

const struct file_kind fifo_kind = {
	.type = FD_TYPES__FIFO,
	.name = "fifo",
	.match = fifo_match,
	.dump = fifo_dump,
	.dump_finish = fifo_dump_finish,
	.dump_done = fifo_dump_done,
	.load_all = fifo_load_all,
	.load = fifo_load,
	.link = fifo_link,
	.open = fifo_open,
	.finish = fifo_finish,
	.describe = fifo_describe,
	.done = fifo_done,
};
