/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are reached without a descriptor: by a mapping, or as /proc/PID/exe, cwd and root.
 *
 * A mapping's file is reached through /proc/PID/map_files (CAP_CHECKPOINT_RESTORE or
 * CAP_SYS_ADMIN); the permission bits of that link say how it was opened. st_dev of maps isn't
 * st_dev of stat() on every file system (overlayfs, btrfs), so both pairs are remembered, and each
 * file is looked at once for the whole tree, however many tasks map it.
 */
#include "base/log.h"
#include "base/parse.h"
#include "file/fingerprint.h"
#include "file/memfd.h"
#include "file/path.h"
#include "file/reg.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define SLOTS 1024

struct seen {
	struct seen *next;
	uint64_t dev, ino;
	const char *name; /* as readlink and maps show it */
	uint32_t id;
};

struct mapped {
	struct seen *slots[SLOTS];
};

static struct seen **slot_of(struct files *f, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino * 0x9e3779b97f4a7c15u) ^ (dev * 0xc2b2ae3d27d4eb4fu);

	if (!f->mapped)
		f->mapped = arena_new_of(f->a, struct mapped);
	return &f->mapped->slots[(h >> 32) % SLOTS];
}

static struct seen *seen_find(struct files *f, uint64_t dev, uint64_t ino, const char *name)
{
	for (struct seen *s = *slot_of(f, dev, ino); s; s = s->next)
		if (s->ino == ino && s->dev == dev && !strcmp(s->name, name))
			return s;
	return NULL;
}

static void seen_add(struct files *f, uint64_t dev, uint64_t ino, const char *name, uint32_t id)
{
	struct seen **slot = slot_of(f, dev, ino);
	struct seen *s = arena_new_of(f->a, struct seen);

	*s = (struct seen){.next = *slot, .dev = dev, .ino = ino, .name = name, .id = id};
	*slot = s;
}

/* The file behind an O_PATH descriptor: known already, or a new entry. */
static int dump_path(struct files *f, struct fdesc *d, uint32_t *ret_id, struct err *err)
{
	char link[PATH_MAX + 16], path[32];
	const struct file_kind *kind;
	struct seen *s;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->local);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0 || fstat(d->local, &d->st) < 0)
		return err_sys(err, -errno, "look at %s", path);
	link[len] = '\0';
	d->name = arena_str(f->a, link);
	s = seen_find(f, d->st.st_dev, d->st.st_ino, d->name);
	if (s) {
		*ret_id = s->id;
		return 0;
	}
	kind = file_kind_match(f, d);
	if (kind != &reg_kind && kind != &memfd_kind)
		return err_refuse(err, "let the program unmap it first",
				  "%s can't be mapped again: it is a %s", d->name, kind->name);
	*ret_id = files_new_id(f);
	TRY(kind->dump(f, d, *ret_id, err));
	seen_add(f, d->st.st_dev, d->st.st_ino, d->name, *ret_id);
	return 0;
}

static struct fdesc fdesc_of(struct target *t)
{
	return (struct fdesc){
		.o = {.t = t, .fd = {-1}},
		.local = -EBADF,
		.info = {.mnt_id = -1},
		.name = "",
		.fdinfo = "",
	};
}

/* How the mapped file was opened: the permission bits of the link in map_files. */
static int mapping_flags(struct fdesc *d, int64_t *ret, struct err *err)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, d->o.map_start,
		 d->o.map_end);
	if (fstatat(d->o.t->proc, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "stat /proc/%d/%s", d->o.t->pid, path);
	if ((st.st_mode & (S_IRUSR | S_IWUSR)) == (S_IRUSR | S_IWUSR))
		*ret = O_RDWR;
	else
		*ret = st.st_mode & S_IWUSR ? O_WRONLY : O_RDONLY;
	return 0;
}

static bool is_mapped_file(const struct stat *st, const struct vma *v)
{
	return st->st_ino == v->ino && st->st_dev == v->dev;
}

/* A descriptor of the task for the file of this mapping: -1 if it has none. */
static int find_fd(const struct target *t, const struct vma *v)
{
	auto_closedir DIR *dir = NULL;
	struct stat st;
	int fd = openat(t->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n;

	if (fd < 0 || !(dir = fdopendir(fd))) {
		fd_close(fd);
		return -1;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 &&
		    is_mapped_file(&st, v) && parse_int(e->d_name, &n) == 0)
			return n;
	return -1;
}

/*
 * In a user namespace map_files can be listed, but its links may not be followed. What remains is
 * the name that maps shows (the inode tells whether it is still right), /proc/PID/exe, and
 * descriptors of the task. d->o becomes the way that was found. -ENOENT, without err, for none.
 */
static int open_otherwise(struct files *f, struct fdesc *d, const struct vma *v, struct err *err)
{
	struct target *t = d->o.t;
	auto_close int fd = -EBADF;
	struct stat st;
	int n;

	if (v->path && v->path[0] == '/') {
		fd = openat(f->root, path_rel(v->path), O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == v->ino && S_ISREG(st.st_mode))
			return TAKE_FD(fd);
	}
	if (fstatat(t->proc, "exe", &st, 0) == 0 && is_mapped_file(&st, v)) {
		d->o = (struct origin){.t = t, .fd = {-1}, .link = "exe"};
		return origin_open(&d->o, err);
	}
	n = find_fd(t, v);
	if (n < 0)
		return -ENOENT;
	d->o = (struct origin){.t = t, .fd = {n}};
	return origin_open(&d->o, err);
}

/* Opens it as d->local; -EBADF there and *ret_id set: an entry was made without a descriptor. */
static int open_mapped(struct files *f, struct fdesc *d, const struct vma *v, uint32_t *ret_id,
		       struct err *err)
{
	struct err denied = ERR_INIT;
	int r = origin_open(&d->o, &denied);

	if (r == -EPERM || r == -EACCES) {
		r = open_otherwise(f, d, v, err);
		if (r == -ENOENT && err->code == 0 && vma_is(v, VMA_AREA_MEMFD))
			return memfd_dump_mapped(f, d->o.t, v, ret_id, err);
	}
	if (r >= 0) {
		d->local = r;
		return 0;
	}
	if (err->code < 0)
		return r;
	*err = denied;
	if (denied.kind == ERR_PERM)
		err_hint(err, "run torpor with CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN outside of "
			      "user namespaces");
	return err->code;
}

static int dump_mapping(struct files *f, struct fdesc *d, struct vma *v, struct err *err)
{
	struct seen *s = v->path ? seen_find(f, v->dev, v->ino, v->path) : NULL;
	uint32_t id;

	TRY(mapping_flags(d, &v->fdflags, err));
	if (s) {
		v->shmid = s->id;
		return 0;
	}
	TRY(open_mapped(f, d, v, &id, err));
	if (d->local < 0) {
		v->shmid = id;
		return 0;
	}
	TRY(dump_path(f, d, &id, err));
	if (v->path && !seen_find(f, v->dev, v->ino, v->path))
		seen_add(f, v->dev, v->ino, arena_str(f->a, v->path), id);
	v->shmid = id;
	log_debug("pid %d: mapping %" PRIx64 "-%" PRIx64 ": file %u, %s", d->o.t->pid, v->start,
		  v->end, id, d->name);
	return 0;
}

/* Passes an error up behind the mapping's name, or reports it (check --tree). */
static int failed(struct files *f, const struct fdesc *d, struct err *err)
{
	fdesc_err(d, err);
	return files_refuse_or_report(f, err);
}

int files_dump_mapping(struct files *f, struct target *t, struct vma *v, struct err *err)
{
	auto_fdesc struct fdesc d = fdesc_of(t);

	d.o.map_start = v->start;
	d.o.map_end = v->end;
	snprintf(d.what, sizeof(d.what), "mapping %" PRIx64 "-%" PRIx64, v->start, v->end);
	if (dump_mapping(f, &d, v, err) < 0)
		return failed(f, &d, err);
	fingerprint_use(f, (uint32_t)v->shmid, v);
	return 0;
}

int files_dump_link(struct files *f, struct target *t, const char *name, uint32_t *ret_id,
		    struct err *err)
{
	auto_fdesc struct fdesc d = fdesc_of(t);

	d.o.link = arena_str(f->a, name);
	str_copy(d.what, sizeof(d.what), name);
	*ret_id = 0;
	d.local = origin_open(&d.o, err);
	if (d.local < 0 || dump_path(f, &d, ret_id, err) < 0)
		return failed(f, &d, err);
	if (!strcmp(name, "exe"))
		fingerprint_use(f, *ret_id, NULL);
	return 0;
}
