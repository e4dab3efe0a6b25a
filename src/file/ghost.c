/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ghosts: inodes without any name, kept alive by descriptors and mappings. All of the inode goes
 * into ghost-file-%x.img: type, mode, owner, times, content with its holes.
 *
 * Visible: everything through a descriptor. Not kept: inode number, extended attributes, change
 * time. An inode that several files refer to is one ghost. At the restore the inode is made under
 * its old name, which is removed at once (plant.c), and all files are opened from the inode.
 */
#include "file/remap.h"

#include "base/io.h"
#include "base/log.h"
#include "file/path.h"
#include "file/plant.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/time.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/sysmacros.h>

#define CHUNKED_FROM 12288	   /* smaller contents are stored as they are */
#define WARN_TOTAL   (64ull << 20) /* bytes of all ghosts together that are worth a warning */

/* ------------------------------------------------------------------ dump */

struct ghost {
	uint32_t id;
	struct origin o;
	struct stat st;
	const char *name, *target;
};

struct ghosts {
	VEC(struct ghost) all;
	uint64_t total; /* allocated bytes */
};

static int read_target(struct files *f, const struct fdesc *d, const char **ret, struct err *err)
{
	char buf[PATH_MAX];
	ssize_t len = readlinkat(d->local, "", buf, sizeof(buf));

	if (len < 0)
		return err_sys(err, -errno, "readlink of a deleted symlink");
	*ret = arena_printf(f->a, "%.*s", (int)len, buf);
	return 0;
}

int ghost_dump(struct files *f, const struct fdesc *d, const char *name, uint32_t *ret_id,
	       struct err *err)
{
	uint64_t bytes = (uint64_t)d->st.st_blocks * 512;
	struct ghost g = {.o = d->o, .st = d->st, .name = name};
	struct ghosts *all = f->ghosts;

	if (!all)
		all = f->ghosts = arena_new_of(f->a, struct ghosts);
	vec_foreach (known, &all->all) {
		if (known->st.st_ino == d->st.st_ino && known->st.st_dev == d->st.st_dev) {
			*ret_id = known->id;
			return 0;
		}
	}
	if (S_ISSOCK(d->st.st_mode))
		return err_refuse(err, "let the program close it first",
				  "%s: a deleted socket file isn't supported yet", name);
	if (S_ISREG(d->st.st_mode) && bytes > f->opts.ghost_limit)
		return err_refuse(err, "pass a larger --ghost-limit",
				  "deleted file %s: %" PRIu64
				  " bytes on disk, the limit is %" PRIu64,
				  name, bytes, f->opts.ghost_limit);
	if (S_ISLNK(d->st.st_mode))
		TRY(read_target(f, d, &g.target, err));
	g.id = (uint32_t)all->all.len + 1;
	*vec_push(&all->all) = g;
	if (S_ISREG(d->st.st_mode))
		all->total += bytes;
	*ret_id = g.id;
	log_info("%s is deleted: ghost %x, %" PRIu64 " bytes on disk", name, g.id, bytes);
	return 0;
}

static void fill_entry(GhostFileEntry *e, const struct stat *st, const char *target, Timeval *at,
		       Timeval *mt)
{
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->mode = st->st_mode;
	e->has_dev = true;
	e->dev = major(st->st_dev) << 20 | minor(st->st_dev); /* the kernel's own dev_t */
	e->has_ino = true;
	e->ino = st->st_ino;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e->has_rdev = true;
		e->rdev = (uint32_t)st->st_rdev;
	}
	timeval__init(at);
	at->tv_sec = (uint64_t)st->st_atim.tv_sec;
	at->tv_usec = (uint64_t)st->st_atim.tv_nsec / 1000;
	e->atim = at;
	timeval__init(mt);
	mt->tv_sec = (uint64_t)st->st_mtim.tv_sec;
	mt->tv_usec = (uint64_t)st->st_mtim.tv_nsec / 1000;
	e->mtim = mt;
	e->symlnk_target = (char *)target;
	if (S_ISREG(st->st_mode) && st->st_size >= CHUNKED_FROM) {
		e->has_chunks = true;
		e->chunks = true;
		e->has_size = true;
		e->size = (uint64_t)st->st_size;
	}
}

/* Data extents as records. A file system without SEEK_DATA shows one extent: the file. */
static int put_chunks(struct img_writer *w, int fd, uint64_t size, struct err *err)
{
	uint64_t at = 0;

	while (at < size) {
		GhostChunkEntry c = GHOST_CHUNK_ENTRY__INIT;
		off_t data = lseek(fd, (off_t)at, SEEK_DATA), end;

		if (data < 0 && errno == ENXIO)
			return 0; /* nothing but a hole */
		if (data < 0)
			return err_sys(err, -errno, "lseek(SEEK_DATA)");
		end = lseek(fd, data, SEEK_HOLE);
		if (end <= data)
			return err_sys(err, end < 0 ? -errno : -EIO, "lseek(SEEK_HOLE)");
		if ((uint64_t)data >= size)
			return 0;
		c.off = (uint64_t)data;
		c.len = MIN((uint64_t)end, size) - c.off;
		TRY(img_put(w, &c.base, err));
		TRY(img_put_from(w, fd, data, c.len, err));
		at = c.off + c.len;
	}
	return 0;
}

int ghost_write(struct files *f, enum img_kind kind, uint32_t id, const struct stat *st,
		const char *target, int fd, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval at, mt;

	fill_entry(&e, st, target, &at, &mt);
	TRY(img_create(f->dir, kind, id, &w, err));
	TRY(img_put(w, &e.base, err));
	if (fd >= 0 && e.chunks)
		TRY(put_chunks(w, fd, e.size, err));
	else if (fd >= 0)
		TRY(img_put_from(w, fd, 0, (uint64_t)st->st_size, err));
	return img_close(TAKE_PTR(w), err);
}

static int write_one(struct files *f, const struct ghost *g, struct err *err)
{
	auto_close int fd = -EBADF;

	if (S_ISREG(g->st.st_mode) && g->st.st_size > 0) {
		fd = origin_open_read(&g->o, err);
		if (fd < 0)
			return fd;
	}
	return ghost_write(f, IMG_GHOST_FILE, g->id, &g->st, g->target, fd, err);
}

int ghosts_finish(struct files *f, struct err *err)
{
	if (!f->ghosts)
		return 0;
	if (f->ghosts->total > WARN_TOTAL)
		log_warn("deleted files of the tree take %" PRIu64
			 " MiB in the images (%zu of them)",
			 f->ghosts->total >> 20, f->ghosts->all.len);
	vec_foreach (g, &f->ghosts->all)
		if (write_one(f, g, err) < 0)
			return err_in(err, "deleted file %s", g->name);
	return 0;
}

void ghosts_dump_done(struct files *f)
{
	if (f->ghosts)
		vec_done(&f->ghosts->all);
}

/* --------------------------------------------------------------- restore */

struct rghost {
	struct rghost *next;
	enum img_kind kind;
	uint32_t id;
	const GhostFileEntry *e;
	uint64_t size; /* of the content */
	int base;      /* O_PATH, -EBADF until made */
};

struct rghosts {
	struct rghost *list;
};

/* Reads the chunk records that follow; with fd >= 0 writes them into it. */
static int read_chunks(struct rfiles *f, struct img_reader *rd, const GhostFileEntry *e, int fd,
		       struct err *err)
{
	GhostChunkEntry *c;
	uint64_t last = 0;
	int r;

	while ((r = img_get_as(rd, &ghost_chunk_entry__descriptor, f->a, &c, err)) > 0) {
		if (c->off < last || c->off > e->size || c->len > e->size - c->off ||
		    c->len > img_left(rd))
			return err_input(err,
					 "chunk of %" PRIu64 " bytes at %" PRIu64
					 " is outside of the file or out of order",
					 c->len, c->off);
		if (fd >= 0) {
			int w = io_copy_range(img_fd(rd), img_tell(rd), fd, c->off, c->len);

			if (w < 0)
				return err_sys(err, w, "write %" PRIu64 " bytes", c->len);
		}
		TRY(img_skip_raw(rd, c->len, err));
		last = c->off + c->len;
	}
	return r;
}

static bool time_is_valid(const Timeval *t)
{
	return !t || (t->tv_usec < 1000000 && t->tv_sec <= INT64_MAX);
}

static int check_entry(const GhostFileEntry *e, struct err *err)
{
	mode_t type = e->mode & S_IFMT;

	if (type != S_IFREG && type != S_IFDIR && type != S_IFIFO && type != S_IFCHR &&
	    type != S_IFBLK && type != S_IFLNK)
		return err_input(err, "unknown file mode %#o", e->mode);
	if (type == S_IFLNK && (!e->symlnk_target || !*e->symlnk_target))
		return err_input(err, "symlink without a target");
	if (e->chunks && (!e->has_size || e->size > INT64_MAX))
		return err_input(err, "chunks without a size");
	if (!time_is_valid(e->atim) || !time_is_valid(e->mtim))
		return err_input(err, "broken time");
	return 0;
}

static int open_image(struct rfiles *f, const struct rghost *g, struct img_reader **ret,
		      const GhostFileEntry **ret_e, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	GhostFileEntry *e;
	int r;

	TRY(img_open(f->dir, g->kind, g->id, &rd, err));
	r = img_get(rd, f->a, &e, err);
	if (r == 0)
		return err_input(err, "the file is missing or empty");
	TRY(r);
	TRY(check_entry(e, err));
	*ret = TAKE_PTR(rd);
	*ret_e = e;
	return 0;
}

static int load_image(struct rfiles *f, struct rghost *g, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;

	TRY(open_image(f, g, &rd, &g->e, err));
	if (g->kind == IMG_MAPPED_FILE && !S_ISREG(g->e->mode))
		return err_input(err, "mode %#o isn't that of a regular file", g->e->mode);
	if (!S_ISREG(g->e->mode))
		return 0;
	g->size = g->e->chunks ? g->e->size : img_left(rd);
	return g->e->chunks ? read_chunks(f, rd, g->e, -1, err) : 0;
}

static int in_image(const struct rghost *g, struct err *err)
{
	char name[IMG_NAME_MAX];

	img_name(g->kind, g->id, name);
	return err_in(err, "%s", name);
}

int rghost_load(struct rfiles *f, enum img_kind kind, uint32_t id, struct rghost **ret,
		struct err *err)
{
	struct rghost *g;

	if (!f->ghosts)
		f->ghosts = arena_new_of(f->a, struct rghosts);
	for (g = f->ghosts->list; g; g = g->next) {
		if (g->kind == kind && g->id == id) {
			*ret = g;
			return 0;
		}
	}
	g = arena_new_of(f->a, struct rghost);
	g->kind = kind;
	g->id = id;
	g->base = -EBADF;
	if (load_image(f, g, err) < 0)
		return in_image(g, err);
	g->next = f->ghosts->list;
	f->ghosts->list = g;
	*ret = g;
	return 0;
}

static int fill(struct rfiles *f, const struct rghost *g, int fd, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	const GhostFileEntry *e;
	int r;

	if (!g->size)
		return 0;
	TRY(open_image(f, g, &rd, &e, err));
	if (ftruncate(fd, (off_t)g->size) < 0)
		return err_sys(err, -errno, "make it %" PRIu64 " bytes long", g->size);
	if (e->chunks)
		return read_chunks(f, rd, e, fd, err);
	r = io_copy_range(img_fd(rd), img_tell(rd), fd, 0, g->size);
	return r < 0 ? err_sys(err, r, "write %" PRIu64 " bytes", g->size) : 0;
}

static struct timespec to_timespec(const Timeval *t)
{
	if (!t)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	return (struct timespec){(time_t)t->tv_sec, (long)t->tv_usec * 1000};
}

/* Owner before mode: a change of owner clears set-id bits. Times last. */
static int set_attributes(const struct rghost *g, int fd, struct err *err)
{
	struct timespec ts[2] = {to_timespec(g->e->atim), to_timespec(g->e->mtim)};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", g->e->uid, g->e->gid, AT_EMPTY_PATH) < 0)
		return err_sys(err, -errno, "give it to uid %u, gid %u", g->e->uid, g->e->gid);
	if (!S_ISLNK(g->e->mode) && chmod(path, g->e->mode & 07777) < 0)
		return err_sys(err, -errno, "set its mode %#o", g->e->mode);
	if (utimensat(fd, "", ts, AT_EMPTY_PATH) < 0)
		log_debug("times of ghost %x stay as they are now", g->id);
	return 0;
}

static int plant_ghost(struct rfiles *f, const struct rghost *g, const char *name, struct err *err)
{
	struct plant p = {
		.root = f->root,
		.name = name,
		.mode = g->e->mode,
		.rdev = g->e->rdev,
		.target = g->e->symlnk_target,
	};
	int fd = plant_open(&p);

	if (fd == -EEXIST) {
		log_info("%s exists: what is taken from the images will show another name", name);
		p.name = arena_printf(f->a, "%s.cr.%x.ghost", name, g->id);
		fd = plant_open(&p);
	}
	if (fd < 0) {
		err_sys(err, fd, "create %s", p.name);
		return err_hint(err, "make its directory writable for the time of the restore");
	}
	return fd;
}

int rghost_open(struct rfiles *f, struct rghost *g, const char *name, struct err *err)
{
	auto_close int fd = -EBADF;
	int r;

	if (g->base < 0) {
		fd = plant_ghost(f, g, name, err);
		if (fd < 0)
			return fd;
		if (S_ISREG(g->e->mode) && fill(f, g, fd, err) < 0)
			return in_image(g, err);
		TRY(set_attributes(g, fd, err));
		/* No writer may stay: an executable must be mappable as one (PR_SET_MM_EXE_FILE).
		 */
		r = S_ISREG(g->e->mode) ? fd_reopen(fd, O_PATH) : TAKE_FD(fd);
		if (r < 0)
			return err_sys(err, r, "reopen %s", name);
		g->base = r;
	}
	r = fd_dup_above(g->base, 3);
	return r < 0 ? err_sys(err, r, "duplicate a descriptor") : r;
}

void rghosts_done(struct rfiles *f)
{
	for (struct rghost *g = f->ghosts ? f->ghosts->list : NULL; g; g = g->next)
		g->base = fd_close(g->base);
}
