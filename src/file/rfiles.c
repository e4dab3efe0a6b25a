/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one restore: reading and checking the images, opening, installing. */
#include "base/io.h"
#include "base/log.h"
#include "file/cut.h"
#include "file/kind.h"
#include "file/reg.h"
#include "file/remap.h"
#include "file/validate.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/fown.pb-c.h"
#include "image/schema/fs.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "remote/pass_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

/* The kernel's own limit of the nr_open sysctl is lower (INT_MAX / 8 rounded). */
#define MAX_FD (1u << 28)

/* ---------------------------------------------------------------- loading */

static int compare_files(const void *a, const void *b)
{
	const struct rfile *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static struct rfile *find(const struct rfiles *f, uint32_t id)
{
	struct rfile key = {.id = id};

	return f->files.len ? bsearch(&key, f->files.data, f->files.len, sizeof(key), compare_files)
			    : NULL;
}

int rfiles_get(struct rfiles *f, uint32_t id, FdTypes type, const char *who, struct rfile **ret,
	       struct err *err)
{
	struct rfile *rf = find(f, id);

	if (!rf)
		return err_input(err, "%s: file %u isn't in files.img", who, id);
	if (rf->kind->type != type)
		return err_input(err, "%s: file %u is a %s, not of type %d", who, id,
				 rf->kind->name, (int)type);
	*ret = rf;
	return 0;
}

int rfile_load_fown(struct rfile *rf, const FownEntry *e, struct err *err)
{
	if (!e)
		return err_input(err, "no owner entry");
	if (e->signum > 64 || e->pid_type > F_OWNER_PGRP || e->pid > INT_MAX)
		return err_input(err, "owner: signal %u, type %u, pid %u", e->signum, e->pid_type,
				 e->pid);
	rf->fown = (struct fown){
		.uid = e->uid,
		.euid = e->euid,
		.signum = e->signum,
		.pid_type = e->pid_type,
		.pid = e->pid,
	};
	return 0;
}

static const char *type_name(FdTypes type)
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, type);

	return v ? v->name : "unknown";
}

static int load_entries(struct rfiles *f, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	FileEntry *e;
	int r;

	TRY(img_open(f->dir, IMG_FILES, 0, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0) {
		const struct file_kind *kind = file_kind_of_type(e->type);

		if (!kind)
			return err_refuse(
				err, "this checkpoint needs an engine that supports it",
				"files.img: file %u is of type %s, which isn't supported yet",
				e->id, type_name(e->type));
		*vec_push(&f->files) = (struct rfile){
			.id = e->id,
			.kind = kind,
			.e = e,
			.fd = -EBADF,
		};
	}
	TRY(r);
	if (f->files.len)
		qsort(f->files.data, f->files.len, sizeof(f->files.data[0]), compare_files);
	for (size_t i = 0; i < f->files.len; i++)
		if (f->files.data[i].id == 0 ||
		    (i && f->files.data[i].id == f->files.data[i - 1].id))
			return err_input(err, "files.img: file id %u is not unique",
					 f->files.data[i].id);
	return 0;
}

static int load_files(struct rfiles *f, struct err *err)
{
	TRY(load_entries(f, err));
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->load_all)
			TRY(file_kinds[i]->load_all(f, err));
	vec_foreach (rf, &f->files)
		if (rf->kind->load(f, rf, err) < 0)
			return err_in(err, "files.img: file %u", rf->id);
	vec_foreach (rf, &f->files)
		if (rf->kind->link && rf->kind->link(f, rf, err) < 0)
			return err_in(err, "files.img: file %u", rf->id);
	return remaps_load(f, err);
}

static int compare_rfds(const void *a, const void *b)
{
	const struct rfd *x = a, *y = b;

	return x->num < y->num ? -1 : x->num > y->num;
}

static int load_fdinfo(struct rfiles *f, const FdinfoEntry *e, const char *name, struct rfd *ret,
		       struct err *err)
{
	if (e->fd > MAX_FD)
		return err_input(err, "%s: descriptor number %u", name, e->fd);
	TRY(rfiles_get(f, e->id, e->type, name, &ret->file, err));
	ret->num = (int)e->fd;
	ret->cloexec = e->flags & FD_CLOEXEC;
	return 0;
}

static int load_table(struct rfiles *f, uint32_t files_id, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	VEC(struct rfd) fds = {0};
	char name[IMG_NAME_MAX];
	FdinfoEntry *e;
	int r;

	vec_foreach (t, &f->tables)
		if (t->files_id == files_id)
			return 0;
	img_name(IMG_FDINFO, files_id, name);
	TRY(img_open(f->dir, IMG_FDINFO, files_id, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0) {
		struct rfd fd;

		r = load_fdinfo(f, e, name, &fd, err);
		if (r < 0)
			break;
		*vec_push(&fds) = fd;
		fd.file->users++;
	}
	if (fds.len)
		qsort(fds.data, fds.len, sizeof(fds.data[0]), compare_rfds);
	for (size_t i = 1; r >= 0 && i < fds.len; i++)
		if (fds.data[i].num == fds.data[i - 1].num)
			r = err_input(err, "%s: descriptor %d appears twice", name,
				      fds.data[i].num);
	if (r >= 0)
		*vec_push(&f->tables) = (struct rtable){
			.files_id = files_id,
			.fds = arena_dup(f->a, fds.data, fds.len * sizeof(fds.data[0])),
			.n = fds.len,
		};
	vec_done(&fds);
	return r;
}

static int load_fs(struct rfiles *f, uint32_t vpid, uint32_t pgid, struct err *err)
{
	struct rfs fs = {.vpid = vpid, .pgid = pgid};
	char name[IMG_NAME_MAX];
	FsEntry *e;

	img_name(IMG_FS, vpid, name);
	TRY(img_read_one(f->dir, IMG_FS, vpid, f->a, &e, err));
	TRY(rfiles_get(f, e->cwd_id, FD_TYPES__REG, name, &fs.cwd, err));
	TRY(rfiles_get(f, e->root_id, FD_TYPES__REG, name, &fs.root, err));
	if (e->has_umask && e->umask > 0777)
		return err_input(err, "%s: umask %#o", name, e->umask);
	fs.has_umask = e->has_umask;
	fs.umask = e->umask;
	*vec_push(&f->fs) = fs;
	return 0;
}

/* Zombies have neither ids nor files. */
static int load_tasks(struct rfiles *f, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	PstreeEntry *task;
	int r;

	TRY(img_open(f->dir, IMG_PSTREE, 0, &rd, err));
	while ((r = img_get(rd, f->a, &task, err)) > 0) {
		TaskKobjIdsEntry *ids;

		if (task->n_threads == 1 && task->threads[0] == 0)
			continue;
		r = img_read_opt(f->dir, IMG_IDS, task->pid, f->a, &ids, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		TRY(load_table(f, ids->files_id, err));
		TRY(load_fs(f, task->pid, task->pgid, err));
	}
	return r;
}

int rfiles_load(const struct img_dir *dir, const struct file_opts *opts, struct arena *a,
		struct rfiles **ret, struct err *err)
{
	struct rfiles *f = xcalloc(1, sizeof(*f));
	int r;

	f->dir = dir;
	f->opts = *opts;
	f->a = a;
	f->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = f->root < 0 ? err_sys(err, -errno, "open /") : load_files(f, err);
	if (r >= 0)
		r = load_tasks(f, err);
	if (r < 0) {
		rfiles_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

int rfiles_max_fd(const struct rfiles *f)
{
	int max = -1;

	vec_foreach (t, &f->tables)
		if (t->n && t->fds[t->n - 1].num > max)
			max = t->fds[t->n - 1].num;
	return max;
}

int rfiles_check(struct rfiles *f, struct err *err)
{
	return validate_files(f, err);
}

void rfiles_print_plan(const struct rfiles *f)
{
	vec_foreach (rf, &f->files) {
		char line[PATH_MAX + 256] = "";

		if (rf->is_carrier)
			continue;
		if (rf->kind->describe)
			rf->kind->describe(rf, line, sizeof(line));
		printf("file %u: %s%s%s\n", rf->id, rf->kind->name, line[0] ? ": " : "", line);
	}
	vec_foreach (t, &f->tables) {
		printf("descriptors %u:", t->files_id);
		for (size_t i = 0; i < t->n; i++)
			printf(" %d=%u%s", t->fds[i].num, t->fds[i].file->id,
			       t->fds[i].cloexec ? "(cloexec)" : "");
		printf("\n");
	}
}

/* ----------------------------------------------------------------- acting */

int rfiles_prepare(struct rfiles *f, struct err *err)
{
	/* Files shared by many tasks stay open until the last has them. */
	(void)fd_limit_raise();
	TRY(remaps_prepare(f, err));
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->prepare)
			TRY(file_kinds[i]->prepare(f, err));
	return 0;
}

int rfiles_open_mapping(void *rfiles, uint32_t file_id, uint32_t fdflags, struct err *err)
{
	struct rfiles *f = rfiles;
	struct rfile *rf = find(f, file_id);
	struct mapfd *m;
	int fd;

	if (!rf || !rf->kind->open_mapping)
		return err_input(err, "file %u can't be mapped: %s", file_id,
				 rf ? rf->kind->name : "it isn't in files.img");
	for (m = rf->mapfds; m; m = m->next)
		if (m->flags == (int)fdflags)
			return m->fd;
	fd = rf->kind->open_mapping(f, rf, (int)fdflags, err);
	if (fd < 0)
		return fd;
	m = arena_new_of(f->a, struct mapfd);
	*m = (struct mapfd){.next = rf->mapfds, .flags = (int)fdflags, .fd = fd};
	rf->mapfds = m;
	return fd;
}

static void log_opened(const struct rfile *rf)
{
	char line[PATH_MAX + 256] = "";

	if (log_level() < LOG_DEBUG)
		return;
	if (rf->kind->describe)
		rf->kind->describe(rf, line, sizeof(line));
	log_debug("file %u: %s: %s, opened as our fd %d", rf->id, rf->kind->name, line, rf->fd);
}

int rfile_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err)
{
	int fd;

	if (rf->fd >= 0)
		return 0;
	fd = rf->kind->open(f, rf, t, err);
	if (fd < 0)
		return err_in(err, "file %u", rf->id);
	rf->fd = fd;
	if (fd_restore_common(fd, rf->flags, &rf->fown, err) < 0)
		return err_in(err, "file %u (%s)", rf->id, rf->kind->name);
	log_opened(rf);
	return 0;
}

static int open_all(struct rfiles *f, const struct rtable *tab, struct target *t,
		    struct fd_install *ret, struct err *err)
{
	for (size_t i = 0; i < tab->n; i++) {
		const struct rfd *fd = &tab->fds[i];

		if (rfile_open(f, fd->file, t, err) < 0)
			return err_in(err, "fd %d", fd->num);
		ret[i] = (struct fd_install){fd->file->fd, fd->num, fd->cloexec};
	}
	return 0;
}

int rfiles_install(struct rfiles *f, struct target *t, uint32_t files_id, struct err *err)
{
	auto_free struct fd_install *fds = NULL;
	struct rtable *tab = NULL;

	vec_foreach (it, &f->tables)
		if (it->files_id == files_id)
			tab = it;
	if (!tab)
		return err_bug(err, "descriptor table %u wasn't loaded", files_id);
	if (tab->installed || tab->n == 0)
		return 0;
	fds = xcalloc(tab->n, sizeof(*fds));
	if (open_all(f, tab, t, fds, err) < 0 || target_install_fds(t, fds, tab->n, err) < 0)
		return err_in(err, "pid %d (%s)", t->vpid, t->comm);
	tab->installed = true;
	for (size_t i = 0; i < tab->n; i++) {
		struct rfile *rf = tab->fds[i].file;

		if ((rf->flags & O_ASYNC) && !(rf->flags & O_PATH) && !rf->is_async) {
			rf->is_async = true;
			*vec_push(&f->async) = (struct rasync){t, tab->fds[i].num, rf->flags};
		}
		if (--rf->users == 0)
			rf->fd = fd_close(rf->fd);
	}
	return 0;
}

int rfiles_finish(struct rfiles *f, struct err *err)
{
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->finish)
			TRY(file_kinds[i]->finish(f, err));
	vec_foreach (a, &f->async)
		TRY(fd_restore_async(a->t, a->num, a->flags, err));
	rfiles_undo(f); /* what we still hold is nobody's any more */
	return 0;
}

void rfiles_commit(struct rfiles *f)
{
	remaps_finish_restore(f);
}

/* Temporary names don't outlive the call that makes them (plant.c): only descriptors are left. */
void rfiles_undo(struct rfiles *f)
{
	vec_foreach (rf, &f->files) {
		rf->fd = fd_close(rf->fd);
		for (struct mapfd *m = rf->mapfds; m; m = m->next)
			m->fd = fd_close(m->fd);
		rf->mapfds = NULL;
	}
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->done)
			file_kinds[i]->done(f);
	remaps_done(f);
	rghosts_done(f);
}

void rfiles_free(struct rfiles *f)
{
	if (!f)
		return;
	rfiles_undo(f);
	remaps_free(f);
	cuts_free(f);
	vec_done(&f->files);
	vec_done(&f->tables);
	vec_done(&f->fs);
	vec_done(&f->async);
	fd_close(f->root);
	free(f);
}
