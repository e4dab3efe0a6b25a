/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anonymous pipes. Ends of one pipe have the same inode number. Visible: flags (fdinfo), capacity
 * (F_GETPIPE_SZ), contents (tee() into a pipe of ours: nothing is taken out, so the target isn't
 * hurt whenever we die).
 *
 * An end that was opened through /proc/PID/fd has O_LARGEFILE, one made by pipe() hasn't: they
 * come back the way they came. If only one end is in the tree, the other one stays with somebody
 * else: after the restore a reader sees what was in the pipe, then end of file; a writer EPIPE.
 * Refused: packet mode (O_DIRECT), whose message borders can't be read without reading the data.
 */
#include "file/pipe.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/pipe.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

/* ------------------------------------------------------------------ dump */

struct pipe_buffer {
	uint32_t id;
	bool has_read, has_write; /* ends in the tree */
	struct origin o;	  /* one of them; a read end if there is one */
};
struct pipes {
	VEC(struct pipe_buffer) all;
};

static bool pipe_match(struct files *f, const struct fdesc *d)
{
	(void)f;
	return S_ISFIFO(d->st.st_mode) && str_after(d->name, "pipe:[") && !(d->info.flags & O_PATH);
}

void pipe_note(struct files *f, struct pipes **all, const struct fdesc *d, uint32_t pipe_id)
{
	bool reads = (d->info.flags & O_ACCMODE) != O_WRONLY;
	struct pipe_buffer *p = NULL;

	if (!*all)
		*all = arena_new_of(f->a, struct pipes);
	vec_foreach (it, &(*all)->all)
		if (it->id == pipe_id)
			p = it;
	if (!p) {
		p = vec_push(&(*all)->all);
		*p = (struct pipe_buffer){.id = pipe_id, .o = d->o};
	}
	if (reads && !p->has_read)
		p->o = d->o;
	p->has_read |= reads;
	p->has_write |= (d->info.flags & O_ACCMODE) != O_RDONLY;
}

static int pipe_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	PipeEntry *e = arena_new_of(f->a, PipeEntry);

	if (d->info.flags & O_DIRECT)
		return err_refuse(err, "let the program use an ordinary pipe",
				  "a pipe in packet mode (O_DIRECT) isn't supported yet");
	pipe_entry__init(e);
	e->id = id;
	e->pipe_id = (uint32_t)d->st.st_ino;
	e->flags = d->info.flags;
	e->fown = files_fown(f, &d->fown);
	files_entry(f, FD_TYPES__PIPE, id)->pipe = e;
	pipe_note(f, &f->pipes, d, e->pipe_id);
	return 0;
}

/*
 * Somebody outside of the tree has the other end: said, because it can't be kept. If nobody has,
 * poll() shows POLLHUP (no writer) or POLLERR (no reader), and it will be the same after a restore.
 */
static int pipe_collected(struct files *f, struct err *err)
{
	if (!f->pipes)
		return 0;
	vec_foreach (p, &f->pipes->all) {
		struct pollfd pfd = {.fd = -EBADF};

		if (p->has_read && p->has_write)
			continue;
		pfd.fd = origin_open(&p->o, err);
		if (pfd.fd < 0 && f->opts.check_only) { /* closed meanwhile */
			*err = ERR_INIT;
			continue;
		}
		if (pfd.fd < 0)
			return pfd.fd;
		if (poll(&pfd, 1, 0) >= 0 && !(pfd.revents & (POLLHUP | POLLERR)))
			log_warn(
				"pid %d (%s): fd %d: the %s end of this pipe is outside of the tree: it will be closed after a restore",
				p->o.t->pid, p->o.t->comm, p->o.fd.n,
				p->has_read ? "write" : "read");
		fd_close(pfd.fd);
	}
	return 0;
}

/* A copy of what is in the pipe, in a pipe of ours. The number of bytes. */
static int peek(int fd, int size, int ours[2], struct err *err)
{
	int bytes = 0;
	ssize_t n;

	if (ioctl(fd, FIONREAD, &bytes) < 0)
		return err_sys(err, -errno, "ioctl(FIONREAD)");
	if (bytes == 0)
		return 0;
	if (pipe2(ours, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, -errno, "pipe2");
	if (fcntl(ours[1], F_GETPIPE_SZ) < size && fcntl(ours[1], F_SETPIPE_SZ, size) < 0) {
		err_sys(err, -errno, "make a pipe of %d bytes", size);
		return err_hint(err, "raise the sysctl fs.pipe-max-size");
	}
	n = tee(fd, ours[1], (size_t)bytes, SPLICE_F_NONBLOCK);
	if (n < 0)
		return err_sys(err, -errno, "tee");
	if (n != bytes)
		return err_sys(err, -EIO, "tee copied %zd of %d bytes", n, bytes);
	return bytes;
}

static int write_one(struct files *f, const struct pipe_buffer *p, struct img_writer *w,
		     struct err *err)
{
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	auto_close int fd = origin_open(&p->o, err);
	auto_close int ours_r = -EBADF, ours_w = -EBADF;
	int ours[2] = {-EBADF, -EBADF}, size, bytes;

	(void)f;
	if (fd < 0)
		return fd;
	size = fcntl(fd, F_GETPIPE_SZ);
	if (size < 0)
		return err_sys(err, -errno, "fcntl(F_GETPIPE_SZ)");
	bytes = peek(fd, size, ours, err);
	ours_r = ours[0];
	ours_w = ours[1];
	if (bytes < 0)
		return bytes;
	e.pipe_id = p->id;
	e.bytes = (uint32_t)bytes;
	e.has_size = true;
	e.size = (uint32_t)size;
	TRY(img_put(w, &e.base, err));
	log_debug("pipe %u: %d bytes of %d", p->id, bytes, size);
	return bytes ? img_put_from(w, ours_r, -1, (uint64_t)bytes, err) : 0;
}

int pipes_write(struct files *f, const struct pipes *all, enum img_kind kind, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;

	TRY(img_create(f->dir, kind, 0, &w, err));
	if (all)
		vec_foreach (p, &all->all)
			if (p->has_read && write_one(f, p, w, err) < 0)
				return err_in(err, "pid %d (%s): fd %d: pipe", p->o.t->pid,
					      p->o.t->comm, p->o.fd.n);
	return img_close(TAKE_PTR(w), err);
}

static int pipe_dump_finish(struct files *f, struct mem_stats *stats, struct err *err)
{
	(void)stats;
	return pipes_write(f, f->pipes, IMG_PIPES_DATA, err);
}

void pipes_done(struct pipes *all)
{
	if (all)
		vec_done(&all->all);
}

static void pipe_dump_done(struct files *f)
{
	pipes_done(f->pipes);
}

/* --------------------------------------------------------------- restore */

struct rpipe *rpipe_get(struct rpipes *all, uint32_t id)
{
	struct rpipe *p;

	vec_foreach (it, &all->all)
		if (it->id == id)
			return it;
	p = vec_push(&all->all);
	*p = (struct rpipe){.id = id, .r = -EBADF, .w = -EBADF};
	return p;
}

int rpipes_load(struct rfiles *f, enum img_kind kind, struct rpipes **ret, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	struct rpipes *all = arena_new_of(f->a, struct rpipes);
	char name[IMG_NAME_MAX];
	PipeDataEntry *e;
	int r;

	*ret = all;
	img_name(kind, 0, name);
	TRY(img_open(f->dir, kind, 0, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0) {
		struct rpipe *p;

		vec_foreach (it, &all->all)
			if (it->id == e->pipe_id)
				return err_input(err, "%s: pipe %u appears twice", name, it->id);
		if (e->has_size && (e->size > INT32_MAX || e->bytes > e->size))
			return err_input(err, "%s: pipe %u: %u bytes in a pipe of %u", name,
					 e->pipe_id, e->bytes, e->size);
		p = rpipe_get(all, e->pipe_id);
		p->size = e->has_size ? e->size : 0;
		p->bytes = e->bytes;
		if (e->bytes)
			TRY(img_get_raw_arena(rd, f->a, e->bytes, &p->data, err));
	}
	return r;
}

int rpipe_set_size(const struct rpipe *p, struct err *err)
{
	if (!p->size || fcntl(p->w, F_GETPIPE_SZ) == (int)p->size)
		return 0;
	if (fcntl(p->w, F_SETPIPE_SZ, (int)p->size) < 0) {
		err_sys(err, -errno, "make a pipe of %u bytes", p->size);
		return err_hint(err, "raise the sysctl fs.pipe-max-size");
	}
	return 0;
}

/* Through a description of our own: the flags of the task's end aren't touched. */
static int fill_one(const struct rpipe *p, struct err *err)
{
	auto_close int fd = -EBADF;
	int there = 0;
	ssize_t n;

	if (!p->bytes || p->w < 0)
		return 0;
	fd = fd_reopen(p->w, O_RDWR | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, fd, "pipe %u: open it for writing", p->id);
	if (ioctl(fd, FIONREAD, &there) == 0 && there > 0) {
		log_warn("fifo %u is open elsewhere and still holds %d bytes: nothing is added",
			 p->id, there);
		return 0;
	}
	n = write(fd, p->data, p->bytes);
	if (n != (ssize_t)p->bytes)
		return err_sys(err, n < 0 ? -errno : -ENOSPC, "pipe %u: write its %u bytes", p->id,
			       p->bytes);
	return 0;
}

int rpipes_fill(struct rpipes *all, struct err *err)
{
	vec_foreach (p, &all->all)
		TRY(fill_one(p, err));
	return 0;
}

void rpipes_done(struct rpipes *all)
{
	if (!all)
		return;
	vec_foreach (p, &all->all) {
		p->r = fd_close(p->r);
		p->w = fd_close(p->w);
	}
	vec_done(&all->all);
}

static int pipe_load_all(struct rfiles *f, struct err *err)
{
	return rpipes_load(f, IMG_PIPES_DATA, &f->pipes, err);
}

static int pipe_load(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const PipeEntry *e = rf->e->pipe;

	if (!e || e->id != rf->id)
		return err_input(err, "no pipe_entry with this id");
	if (e->flags & O_DIRECT)
		return err_refuse(err, "restore it with an engine that supports it",
				  "a pipe in packet mode (O_DIRECT) isn't supported yet");
	if ((e->flags & O_ACCMODE) == O_ACCMODE)
		return err_input(err, "pipe with flags %#o", e->flags);
	(void)rpipe_get(f->pipes, e->pipe_id);
	rf->flags = e->flags;
	return rfile_load_fown(rf, e->fown, err);
}

static int make(struct rpipe *p, struct err *err)
{
	int ends[2];

	if (p->w >= 0)
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe2");
	p->r = ends[0];
	p->w = ends[1];
	return rpipe_set_size(p, err);
}

static int pipe_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err)
{
	struct rpipe *p = rpipe_get(f->pipes, rf->e->pipe->pipe_id);
	int mode = (int)rf->flags & O_ACCMODE, fd;
	bool native = !(rf->flags & KERNEL_O_LARGEFILE);
	bool *given = mode == O_RDONLY ? &p->r_given : &p->w_given;

	(void)t;
	TRY(make(p, err));
	if (native && mode != O_RDWR && !*given) {
		*given = true;
		fd = fd_dup_above(mode == O_RDONLY ? p->r : p->w, 3);
	} else {
		fd = fd_reopen(p->w, mode | O_NONBLOCK);
	}
	return fd < 0 ? err_sys(err, fd, "open an end of pipe %u", p->id) : fd;
}

static int pipe_finish(struct rfiles *f, struct err *err)
{
	return rpipes_fill(f->pipes, err);
}

static void pipe_done(struct rfiles *f)
{
	rpipes_done(f->pipes);
}

static void pipe_describe(const struct rfile *rf, char *buf, size_t size)
{
	static const char *const ends[] = {"read end", "write end", "both ends", "?"};

	snprintf(buf, size, "%s of pipe %u", ends[rf->flags & O_ACCMODE], rf->e->pipe->pipe_id);
}

const struct file_kind pipe_kind = {
	.type = FD_TYPES__PIPE,
	.name = "pipe",
	.match = pipe_match,
	.dump = pipe_dump,
	.collected = pipe_collected,
	.dump_finish = pipe_dump_finish,
	.dump_done = pipe_dump_done,
	.load_all = pipe_load_all,
	.load = pipe_load,
	.open = pipe_open,
	.finish = pipe_finish,
	.describe = pipe_describe,
	.done = pipe_done,
};
