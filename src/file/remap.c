/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remap-fpath.img: for each REG entry whose name doesn't lead to its file, what does.
 *
 *  - GHOST: no name is left (st_nlink 0). The inode itself goes into the image: ghost.c.
 *  - LINKED: this name was removed, but others exist somewhere (st_nlink > 0). Where, nobody
 *    knows. With --link-remap the inode gets one more name, link_remap.ID in the directory of the
 *    old one: it stays on disk until the restore.
 *  - PROCFS: a file of /proc/PID, and PID is dead. The restore needs a process of that number for
 *    the moment of opening.
 */
#include "file/remap.h"

#include "base/io.h"
#include "base/log.h"
#include "file/path.h"
#include "file/plant.h"
#include "file/reg.h"
#include "image/schema/regfile.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ------------------------------------------------------------------ dump */

struct remaps {
	VEC(RemapFilePathEntry) entries;
	VEC(const char *) carriers; /* names made by us */
	VEC(int) dead;		    /* pids that have an entry */
};

static struct remaps *remaps_get(struct files *f)
{
	if (!f->remaps)
		f->remaps = arena_new_of(f->a, struct remaps);
	return f->remaps;
}

static void add(struct files *f, uint32_t orig, uint32_t remap, RemapType type)
{
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;

	e.orig_id = orig;
	e.remap_id = remap;
	e.has_remap_type = true;
	e.remap_type = type;
	*vec_push(&remaps_get(f)->entries) = e;
}

void remap_dump_proc(struct files *f, uint32_t id, int pid)
{
	struct remaps *r = remaps_get(f);

	vec_foreach (p, &r->dead)
		if (*p == pid)
			return;
	*vec_push(&r->dead) = pid;
	add(f, id, (uint32_t)pid, REMAP_TYPE__PROCFS);
	log_info("file %u belongs to pid %d, which is dead", id, pid);
}

/* One more name for the inode, next to the one that was removed; numbers that are taken (left by
 * an earlier dump) are skipped. */
static int make_carrier(struct files *f, const struct fdesc *d, const char *name, uint32_t *ret_id,
			const char **ret_name, struct err *err)
{
	int dirlen = (int)(strrchr(name, '/') - name);
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", d->local);
	for (int tries = 0; tries < 1000; tries++) {
		uint32_t id = files_new_id(f);
		const char *carrier = arena_printf(f->a, "%.*s/link_remap.%u", dirlen, name, id);

		if (linkat(AT_FDCWD, from, f->root, path_rel(carrier), AT_SYMLINK_FOLLOW) == 0) {
			*vec_push(&remaps_get(f)->carriers) = carrier;
			*ret_id = id;
			*ret_name = carrier;
			return 0;
		}
		if (errno != EEXIST)
			return err_sys(err, -errno, "link %s (unlinked) to %s", name, carrier);
	}
	return err_sys(err, -EEXIST, "link %s (unlinked) to %.*s/link_remap.*", name, dirlen, name);
}

static int remap_dump_link(struct files *f, const struct fdesc *d, uint32_t id, const char *name,
			   struct err *err)
{
	RegFileEntry *e = arena_new_of(f->a, RegFileEntry);
	const char *carrier = NULL;
	uint32_t cid = 0;

	if (!f->opts.link_remap)
		return err_refuse(err, "pass --link-remap to give it a name again",
				  "%s was unlinked, but the file has %lu other name(s)", name,
				  (unsigned long)d->st.st_nlink);
	if (f->opts.check_only)
		return 0;
	TRY(make_carrier(f, d, name, &cid, &carrier, err));
	reg_file_entry__init(e);
	e->id = cid;
	e->fown = files_fown(f, &(struct fown){0});
	e->name = arena_str(f->a, carrier);
	files_entry(f, FD_TYPES__REG, cid)->reg = e;
	add(f, id, cid, REMAP_TYPE__LINKED);
	log_info("%s was unlinked: linked to %s", name, carrier);
	return 0;
}

/*
 * Has the inode other names? Directories have none, whatever their link count says. overlayfs
 * shows the count of the file below, which doesn't hear of removals above: one name left there is
 * the one that was removed.
 */
static bool has_other_names(const struct fdesc *d)
{
	if (S_ISDIR(d->st.st_mode) || d->st.st_nlink == 0)
		return false;
	return d->st.st_nlink > 1 || fdesc_fs_magic(d) != OVERLAYFS_SUPER_MAGIC;
}

int remap_dump(struct files *f, const struct fdesc *d, uint32_t id, const char *name,
	       struct err *err)
{
	uint32_t ghost;

	if (has_other_names(d))
		return remap_dump_link(f, d, id, name, err);
	TRY(ghost_dump(f, d, name, &ghost, err));
	add(f, id, ghost, REMAP_TYPE__GHOST);
	return 0;
}

int remaps_finish(struct files *f, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;
	struct remaps *r = remaps_get(f);

	TRY(img_create(f->dir, IMG_REMAP_FPATH, 0, &w, err));
	vec_foreach (e, &r->entries)
		TRY(img_put(w, &e->base, err));
	return img_close(TAKE_PTR(w), err);
}

void remaps_undo(struct files *f)
{
	if (!f->remaps)
		return;
	vec_foreach (name, &f->remaps->carriers)
		if (unlinkat(f->root, path_rel(*name), 0) < 0)
			log_warn("%s stays behind: %s", *name, strerror(errno));
	f->remaps->carriers.len = 0;
}

void remaps_dump_done(struct files *f)
{
	if (!f->remaps)
		return;
	vec_done(&f->remaps->entries);
	vec_done(&f->remaps->carriers);
	vec_done(&f->remaps->dead);
}

/* --------------------------------------------------------------- restore */

struct rremaps {
	VEC(const char *) carriers;
};

/* Old images have no type: the top bit of remap_id says ghost. */
#define OLD_GHOST 0x80000000u

static int load_one(struct rfiles *f, const RemapFilePathEntry *e, struct err *err)
{
	struct remap *r = arena_new_of(f->a, struct remap);
	struct rfile *rf;

	r->base = -EBADF;
	r->remap_id = e->remap_id;
	r->type = REMAP_LINK;
	if (e->has_remap_type) {
		r->type = (int)e->remap_type;
	} else if (e->remap_id & OLD_GHOST) {
		r->type = REMAP_GHOST;
		r->remap_id &= ~OLD_GHOST;
	}
	TRY(rfiles_get(f, e->orig_id, FD_TYPES__REG, "remap-fpath.img", &rf, err));
	switch (r->type) {
	case REMAP_LINK:
		TRY(rfiles_get(f, r->remap_id, FD_TYPES__REG, "remap-fpath.img", &r->carrier, err));
		r->carrier->is_carrier = true;
		*vec_push(&f->remaps->carriers) = rfile_name(r->carrier);
		break;
	case REMAP_GHOST:
		TRY(rghost_load(f, IMG_GHOST_FILE, r->remap_id, &r->ghost, err));
		break;
	case REMAP_PROC:
		if (r->remap_id == 0 || r->remap_id > INT_MAX)
			return err_input(err, "remap-fpath.img: file %u: pid %u", e->orig_id,
					 r->remap_id);
		break;
	default:
		return err_input(err, "remap-fpath.img: file %u: unknown type %d", e->orig_id,
				 (int)r->type);
	}
	if (rf->remap)
		return err_input(err, "remap-fpath.img: file %u appears twice", e->orig_id);
	rf->remap = r;
	return 0;
}

int remaps_load(struct rfiles *f, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	RemapFilePathEntry *e;
	int r;

	f->remaps = arena_new_of(f->a, struct rremaps);
	TRY(img_open(f->dir, IMG_REMAP_FPATH, 0, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0)
		TRY(load_one(f, e, err));
	return r;
}

int remap_to_copy(struct rfiles *f, struct rfile *rf, uint32_t embedded_id, struct err *err)
{
	struct remap *r = arena_new_of(f->a, struct remap);

	r->type = REMAP_COPY;
	r->remap_id = embedded_id;
	r->base = -EBADF;
	TRY(rghost_load(f, IMG_MAPPED_FILE, embedded_id, &r->ghost, err));
	rf->remap = r;
	return 0;
}

bool remap_is_there(const struct rfiles *f, const struct remap *r)
{
	struct stat st;

	return r->type != REMAP_LINK ||
	       fstatat(f->root, path_rel(rfile_name(r->carrier)), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The carrier's inode, under the old name if that is free. */
static int link_open(struct rfiles *f, const char *carrier, const char *name, struct err *err)
{
	struct plant p = {.root = f->root, .name = name, .from = carrier};
	int fd = plant_open(&p);

	if (fd == -EEXIST || fd == -EXDEV || fd == -EROFS) {
		log_info("%s can't be linked from %s for a moment: %s; it will show that name",
			 name, carrier, strerror(-fd));
		fd = openat(f->root, path_rel(carrier), O_PATH | O_NOFOLLOW | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	if (fd < 0)
		return err_sys(err, fd, "open %s, to which it was linked at the dump", carrier);
	return fd;
}

int remaps_prepare(struct rfiles *f, struct err *err)
{
	vec_foreach (rf, &f->files) {
		struct remap *r = rf->remap;
		int fd;

		if (!r || r->type == REMAP_PROC)
			continue;
		if (r->type == REMAP_GHOST || r->type == REMAP_COPY)
			fd = rghost_open(f, r->ghost, rfile_name(rf), err);
		else
			fd = link_open(f, rfile_name(r->carrier), rfile_name(rf), err);
		if (fd < 0)
			return err_in(err, "file %u (%s)", rf->id, rfile_name(rf));
		r->base = fd;
	}
	return 0;
}

/* A process that does nothing, with this pid; it dies with us. */
static pid_t hold_pid(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&pid,
		.set_tid_size = 1,
	};
	pid_t parent = getpid(), r = sys_clone3(&args, sizeof(args));

	if (r != 0)
		return r;
	(void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (syscall(SYS_getppid) == parent)
		(void)syscall(SYS_pause);
	syscall(SYS_exit_group, 0);
	__builtin_unreachable();
}

int remap_open_proc(struct rfiles *f, const struct remap *r, const char *name, int flags,
		    struct err *err)
{
	pid_t pid = hold_pid((pid_t)r->remap_id);
	int fd;

	if (pid < 0) {
		err_sys(err, pid, "%s: make a process with pid %u, to which it belonged", name,
			r->remap_id);
		return pid == -EEXIST ? err_hint(err, "end the process that has this pid now")
				      : err->code;
	}
	fd = openat(f->root, path_rel(name), flags);
	fd = fd < 0 ? -errno : fd;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return fd < 0 ? err_sys(err, fd, "open %s", name) : fd;
}

void remaps_finish_restore(struct rfiles *f)
{
	vec_foreach (name, &f->remaps->carriers)
		if (unlinkat(f->root, path_rel(*name), 0) < 0 && errno != ENOENT)
			log_warn("%s stays behind: %s", *name, strerror(errno));
}

void remaps_free(struct rfiles *f)
{
	if (f->remaps)
		vec_done(&f->remaps->carriers);
}

void remaps_done(struct rfiles *f)
{
	vec_foreach (rf, &f->files)
		if (rf->remap)
			rf->remap->base = fd_close(rf->remap->base);
}
