/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files without a name on the kernel's own shmem (or hugetlbfs) mounts: memfd_create(), and the
 * objects behind MAP_SHARED | MAP_ANONYMOUS, which the image has in the same form with the name
 * "/dev/zero", or "/anon_hugepage" if they are made of huge pages. Visible: everything; name by
 * readlink, seals by F_GET_SEALS, content by reading.
 *
 * Each inode is one entry of memfd.img, with its content in pagemap-shmem-<shmid>; each open file
 * description, and each mapped inode, is an entry of files.img. Seals come last at the restore:
 * they forbid what is needed to fill and map the inode.
 */
#include "file/memfd.h"

#include "base/log.h"
#include "base/parse.h"
#include "file/path.h"
#include "image/schema/memfd.pb-c.h"
#include "mem/shmem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* since 6.3 */
#endif
/* The size of huge pages stands at the same place in all flags: here, in mmap(), in images. */
#define MFD_HUGE_SHIFT 26
static_assert(MFD_HUGE_SHIFT == MAP_HUGE_SHIFT, "memfd_create and mmap");

/* ------------------------------------------------------------------ dump */

/* A part of the object that a task has mapped. */
struct extent {
	const struct target *t;
	uint64_t at, off, len;
};
struct memfd {
	struct origin o;
	struct stat st;
	MemfdInodeEntry e;
	uint32_t mapped_id;	    /* not 0: the file id of mappings, and there is no descriptor */
	VEC(struct extent) extents; /* then */
};
struct memfds {
	dev_t dev; /* of the kernel's own shmem mount */
	VEC(struct memfd) all;
};

static struct memfds *memfds_get(struct files *f)
{
	auto_close int fd = -EBADF;
	struct stat st;

	if (f->memfds)
		return f->memfds;
	f->memfds = arena_new_of(f->a, struct memfds);
	fd = memfd_create("torpor", MFD_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0)
		f->memfds->dev = st.st_dev;
	return f->memfds;
}

static bool memfd_match(struct files *f, const struct fdesc *d)
{
	if (!S_ISREG(d->st.st_mode) || d->st.st_nlink || !path_deleted_len(d->name))
		return false;
	if (!str_after(d->name, "/memfd:") && strcmp(d->name, "/dev/zero (deleted)") &&
	    strcmp(d->name, "/anon_hugepage (deleted)"))
		return false;
	return d->st.st_dev == memfds_get(f)->dev || fdesc_fs_magic(d) == HUGETLBFS_MAGIC;
}

static char *inode_name(struct files *f, const struct fdesc *d)
{
	const char *name = str_after(d->name, "/memfd:");

	if (!name)
		name = d->name;
	return arena_printf(f->a, "%.*s", (int)path_deleted_len(name), name);
}

/* The inode number, which names the pagemap, unless another one has it (hugetlbfs counts apart). */
static uint32_t new_shmid(const struct memfds *all, ino_t ino)
{
	uint32_t id = (uint32_t)ino;

	for (size_t i = 0; i < all->all.len; i++) {
		if (all->all.data[i].e.shmid == id) {
			id++;
			i = (size_t)-1; /* from the start again */
		}
	}
	return id;
}

static int new_inode(struct files *f, const struct fdesc *d, struct memfd *m, struct err *err)
{
	auto_close int fd = origin_open_read(&d->o, err);
	struct statfs fs;
	int seals;

	if (fd < 0)
		return fd;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(err, -errno, "%s: fcntl(F_GET_SEALS)", d->name);
	memfd_inode_entry__init(&m->e);
	m->o = d->o;
	m->st = d->st;
	m->e.name = inode_name(f, d);
	m->e.uid = d->st.st_uid;
	m->e.gid = d->st.st_gid;
	m->e.size = (uint64_t)d->st.st_size;
	m->e.shmid = new_shmid(f->memfds, d->st.st_ino);
	m->e.seals = (uint32_t)seals;
	m->e.inode_id = f->memfds->all.len + 1;
	m->e.has_mode = true;
	m->e.mode = d->st.st_mode;
	if (fs.f_type == HUGETLBFS_MAGIC) {
		m->e.has_hugetlb_flag = true;
		m->e.hugetlb_flag = MFD_HUGETLB |
				    (uint32_t)__builtin_ctzl((unsigned long)fs.f_bsize)
					    << MFD_HUGE_SHIFT;
	}
	return 0;
}

static int inode_id(struct files *f, const struct fdesc *d, uint32_t *ret, struct err *err)
{
	struct memfd m = {0};

	vec_foreach (known, &memfds_get(f)->all) {
		if (known->st.st_ino == d->st.st_ino && known->st.st_dev == d->st.st_dev) {
			*ret = (uint32_t)known->e.inode_id;
			return 0;
		}
	}
	TRY(new_inode(f, d, &m, err));
	*vec_push(&f->memfds->all) = m;
	*ret = (uint32_t)m.e.inode_id;
	return 0;
}

static int memfd_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	MemfdFileEntry *e = arena_new_of(f->a, MemfdFileEntry);

	if (d->info.flags & O_PATH)
		return err_refuse(err, "let the program close it first",
				  "an O_PATH descriptor of %s isn't supported", d->name);
	memfd_file_entry__init(e);
	TRY(inode_id(f, d, &e->inode_id, err));
	e->id = id;
	e->flags = d->info.flags;
	e->pos = d->info.pos;
	e->fown = files_fown(f, &d->fown);
	files_entry(f, FD_TYPES__MEMFD, id)->memfd = e;
	return 0;
}

int memfd_dump_mapped(struct files *f, struct target *t, const struct vma *v, uint32_t *ret_id,
		      struct err *err)
{
	const struct extent x = {.t = t, .at = v->start, .off = v->pgoff, .len = v->end - v->start};
	struct fdesc d = {.o = {.t = t, .fd = {-1}}, .local = -EBADF, .name = v->path};
	struct memfd m = {0};
	MemfdFileEntry *e = arena_new_of(f->a, MemfdFileEntry);

	vec_foreach (known, &memfds_get(f)->all) {
		if (known->st.st_ino == v->ino && known->st.st_dev == v->dev && known->mapped_id) {
			*vec_push(&known->extents) = x;
			known->e.size = MAX(known->e.size, x.off + x.len);
			*ret_id = known->mapped_id;
			return 0;
		}
	}
	if (fstat(t->proc, &m.st) < 0) /* who owns the process most likely made it */
		return err_sys(err, -errno, "stat /proc/%d", t->pid);
	m.o = d.o;
	m.st.st_dev = v->dev;
	m.st.st_ino = v->ino;
	memfd_inode_entry__init(&m.e);
	m.e.name = inode_name(f, &d);
	m.e.uid = m.st.st_uid;
	m.e.gid = m.st.st_gid;
	m.e.size = x.off + x.len;
	m.e.shmid = new_shmid(f->memfds, v->ino);
	m.e.seals = F_SEAL_SEAL;
	m.e.inode_id = f->memfds->all.len + 1;
	m.e.has_mode = true;
	m.e.mode = S_IFREG | 0777;
	if (v->flags & MAP_HUGETLB) {
		m.e.has_hugetlb_flag = true;
		m.e.hugetlb_flag = MFD_HUGETLB |
				   (v->flags & (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT);
	}
	*vec_push(&m.extents) = x;
	memfd_file_entry__init(e);
	e->id = m.mapped_id = files_new_id(f);
	e->fown = files_fown(f, &(struct fown){0});
	e->inode_id = (uint32_t)m.e.inode_id;
	files_entry(f, FD_TYPES__MEMFD, e->id)->memfd = e;
	*vec_push(&f->memfds->all) = m;
	*ret_id = e->id;
	return 0;
}

#define COPY_CHUNK 65536u

static bool is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && !memcmp(p, p + 1, len - 1);
}

/* What lies behind the object's end can't be read: it isn't there. */
static int copy_extent(const struct extent *x, int fd, struct err *err)
{
	uint8_t buf[COPY_CHUNK];

	for (uint64_t done = 0; done < x->len;) {
		size_t n = (size_t)MIN(x->len - done, sizeof(buf));
		struct err ignored = ERR_INIT;

		if (target_peek(x->t, raddr(x->at + done), buf, n, &ignored) < 0) {
			if (ignored.kind == ERR_GONE)
				return err_gone(err, "%s", ignored.text);
			n = (size_t)getpagesize();
			ignored = ERR_INIT;
			if (target_peek(x->t, raddr(x->at + done), buf, n, &ignored) < 0)
				memset(buf, 0, n);
		}
		if (!is_zero(buf, n) && pwrite(fd, buf, n, (off_t)(x->off + done)) != (ssize_t)n)
			return err_sys(err, -errno, "copy shared memory");
		done += n;
	}
	return 0;
}

/* A copy of what the tasks have mapped of it, each part once. */
static int copy_mapped(const struct memfd *m, struct err *err)
{
	auto_close int fd = memfd_create("torpor", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)m->e.size) < 0)
		return err_sys(err, -errno, "memfd_create");
	for (size_t i = 0; i < m->extents.len; i++) {
		const struct extent *x = &m->extents.data[i];
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= m->extents.data[k].off == x->off &&
				 m->extents.data[k].len == x->len;
		if (!again)
			TRY(copy_extent(x, fd, err));
	}
	return TAKE_FD(fd);
}

static int memfd_dump_finish(struct files *f, struct mem_stats *stats, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;

	TRY(img_create(f->dir, IMG_MEMFD, 0, &w, err));
	vec_foreach (m, &memfds_get(f)->all) {
		auto_close int fd = -EBADF;

		TRY(img_put(w, &m->e.base, err));
		fd = m->mapped_id ? copy_mapped(m, err) : origin_open_read(&m->o, err);
		if (fd < 0 || shmem_dump(f->dir, fd, m->e.shmid, m->e.size, stats->shared_parent,
					 stats, err) < 0)
			return err_in(err, "pid %d (%s): shared memory %s", m->o.t->pid,
				      m->o.t->comm, m->e.name);
	}
	return img_close(TAKE_PTR(w), err);
}

static void memfd_dump_done(struct files *f)
{
	if (!f->memfds)
		return;
	vec_foreach (m, &f->memfds->all)
		vec_done(&m->extents);
	vec_done(&f->memfds->all);
}

/* --------------------------------------------------------------- restore */

struct rmemfd {
	const MemfdInodeEntry *e;
	int base; /* read-write */
};
struct rmemfds {
	VEC(struct rmemfd) all;
};

static struct rmemfd *find(const struct rfiles *f, uint32_t inode_id)
{
	vec_foreach (m, &f->memfds->all)
		if (m->e->inode_id == inode_id)
			return m;
	return NULL;
}

static bool is_anon(const MemfdInodeEntry *e)
{
	return !strcmp(e->name, e->hugetlb_flag ? "/anon_hugepage" : "/dev/zero") &&
	       e->seals == F_SEAL_SEAL;
}

static int memfd_load_all(struct rfiles *f, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	const struct page_map *p;
	MemfdInodeEntry *e;
	int r;

	f->memfds = arena_new_of(f->a, struct rmemfds);
	TRY(img_open(f->dir, IMG_MEMFD, 0, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0) {
		if (e->inode_id > UINT32_MAX || find(f, (uint32_t)e->inode_id))
			return err_input(err, "memfd.img: inode id %lu is not unique",
					 (unsigned long)e->inode_id);
		if (e->size > INT64_MAX || strlen(e->name) > 249)
			return err_input(err, "memfd.img: inode %lu: broken size or name",
					 (unsigned long)e->inode_id);
		/* Used later; what is wrong with it has to show before anything is made. */
		if (e->size)
			TRY(page_store_map(f->opts.store, IMG_PAGEMAP_SHMEM, e->shmid,
					   /* optional= */ true, &p, err));
		*vec_push(&f->memfds->all) = (struct rmemfd){.e = e, .base = -EBADF};
	}
	return r;
}

static int memfd_load(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const MemfdFileEntry *e = rf->e->memfd;

	if (!e || e->id != rf->id)
		return err_input(err, "no memfd_file_entry with this id");
	rf->priv = find(f, e->inode_id);
	if (!rf->priv)
		return err_input(err, "memfd inode %u isn't in memfd.img", e->inode_id);
	if (e->pos > INT64_MAX)
		return err_input(err, "memfd position %lu", (unsigned long)e->pos);
	rf->flags = e->flags;
	rf->pos = e->pos;
	return rfile_load_fown(rf, e->fown, err);
}

static int create(const MemfdInodeEntry *e, struct err *err)
{
	unsigned int flags = MFD_CLOEXEC | e->hugetlb_flag, exec = MFD_EXEC;
	int fd;

	if (is_anon(e))
		return shmem_create_anon(e->size, e->hugetlb_flag, err);
	/* Without MFD_ALLOW_SEALING the kernel sets exactly F_SEAL_SEAL. */
	if (e->seals != F_SEAL_SEAL)
		flags |= MFD_ALLOW_SEALING;
	fd = memfd_create(e->name, flags | exec);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(e->name, flags);
	if (fd < 0)
		return err_sys(err, -errno, "memfd_create(%s, %#x)", e->name, flags);
	return fd;
}

static int make(struct rfiles *f, struct rmemfd *m, struct err *err)
{
	const MemfdInodeEntry *e = m->e;
	auto_close int fd = create(e, err);

	if (fd < 0)
		return fd;
	if (!is_anon(e) && ftruncate(fd, (off_t)e->size) < 0)
		return err_sys(err, -errno, "make it %lu bytes long", (unsigned long)e->size);
	if (e->size)
		TRY(shmem_fill(f->opts.store, fd, e->shmid, e->size, err));
	if (fchown(fd, e->uid, e->gid) < 0)
		return err_sys(err, -errno, "give it to uid %u, gid %u", e->uid, e->gid);
	if (e->has_mode && fchmod(fd, e->mode & 07777) < 0)
		return err_sys(err, -errno, "set its mode %#o", e->mode & 07777);
	m->base = TAKE_FD(fd);
	return 0;
}

static int memfd_prepare(struct rfiles *f, struct err *err)
{
	vec_foreach (m, &f->memfds->all)
		if (make(f, m, err) < 0)
			return err_in(err, "shared memory %s", m->e->name);
	return 0;
}

static int reopen(const struct rmemfd *m, int flags, struct err *err)
{
	int fd = fd_reopen(m->base, flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_ASYNC | O_NOFOLLOW));

	return fd < 0 ? err_sys(err, fd, "open memfd %s with flags %#o", m->e->name, flags) : fd;
}

static int memfd_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err)
{
	auto_close int fd = reopen(rf->priv, (int)rf->flags, err);

	(void)f, (void)t;
	if (fd < 0)
		return fd;
	if (rf->pos && lseek(fd, (off_t)rf->pos, SEEK_SET) < 0)
		return err_sys(err, -errno, "memfd: seek to %lu", (unsigned long)rf->pos);
	return TAKE_FD(fd);
}

/*
 * A shared mapping of a writable description counts as a possible writer, even if it is read-only,
 * and then F_SEAL_WRITE is refused. With that seal no mapping can have been writable.
 */
static int memfd_open_mapping(struct rfiles *f, struct rfile *rf, int flags, struct err *err)
{
	const struct rmemfd *m = rf->priv;

	(void)f;
	if ((m->e->seals & F_SEAL_WRITE) && (flags & O_ACCMODE) == O_RDWR)
		flags = (flags & ~O_ACCMODE) | O_RDONLY;
	return reopen(m, flags, err);
}

static int memfd_finish(struct rfiles *f, struct err *err)
{
	vec_foreach (m, &f->memfds->all) {
		uint32_t seals = m->e->seals;

		if (seals == 0 || seals == F_SEAL_SEAL || m->base < 0)
			continue;
		if (fcntl(m->base, F_ADD_SEALS, seals) < 0)
			return err_sys(err, -errno, "memfd %s: add seals %#x", m->e->name, seals);
	}
	return 0;
}

static void memfd_done(struct rfiles *f)
{
	if (!f->memfds)
		return;
	vec_foreach (m, &f->memfds->all)
		m->base = fd_close(m->base);
	vec_done(&f->memfds->all);
}

static void memfd_describe(const struct rfile *rf, char *buf, size_t size)
{
	const struct rmemfd *m = rf->priv;

	snprintf(buf, size, "%s, %lu bytes, flags %#o", m->e->name, (unsigned long)m->e->size,
		 rf->flags);
}

const struct file_kind memfd_kind = {
	.type = FD_TYPES__MEMFD,
	.name = "memfd",
	.match = memfd_match,
	.dump = memfd_dump,
	.dump_finish = memfd_dump_finish,
	.dump_done = memfd_dump_done,
	.load_all = memfd_load_all,
	.load = memfd_load,
	.prepare = memfd_prepare,
	.open = memfd_open,
	.open_mapping = memfd_open_mapping,
	.finish = memfd_finish,
	.describe = memfd_describe,
	.done = memfd_done,
};
