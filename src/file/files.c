/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one dump: collecting descriptors, and writing files.img and fdinfo-*.img. */
#include "file/files.h"

#include "base/log.h"
#include "base/parse.h"
#include "file/fingerprint.h"
#include "file/kind.h"
#include "file/policy.h"
#include "file/remap.h"
#include "image/schema/fown.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct files *files_new(const struct img_dir *dir, const struct file_opts *opts, struct arena *a)
{
	struct files *f = xcalloc(1, sizeof(*f));

	f->dir = dir;
	f->opts = *opts;
	f->a = a;
	f->ofds = ofd_table_new();
	f->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return f;
}

void files_free(struct files *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->dump_done)
			file_kinds[i]->dump_done(f);
	remaps_dump_done(f);
	ghosts_dump_done(f);
	fingerprints_done(f);
	ofd_table_free(f->ofds);
	vec_done(&f->entries);
	vec_done(&f->tasks);
	fd_close(f->root);
	free(f);
}

uint32_t files_new_id(struct files *f)
{
	return ++f->next_id;
}

FileEntry *files_entry(struct files *f, FdTypes type, uint32_t id)
{
	FileEntry *e = arena_new_of(f->a, FileEntry);

	file_entry__init(e);
	e->type = type;
	e->id = id;
	*vec_push(&f->entries) = e;
	return e;
}

FownEntry *files_fown(struct files *f, const struct fown *o)
{
	FownEntry *e = arena_new_of(f->a, FownEntry);

	fown_entry__init(e);
	e->uid = o->uid;
	e->euid = o->euid;
	e->signum = o->signum;
	e->pid_type = o->pid_type;
	e->pid = o->pid;
	return e;
}

int files_refuse_or_report(struct files *f, struct err *err)
{
	int r = err->code;

	if (!f->opts.check_only || !f->opts.report || r == -ESRCH)
		return r;
	r = f->opts.report(f->opts.report_ctx, err);
	*err = ERR_INIT;
	return r < 0 ? r : 0;
}

/* An open file description that is met for the first time. */
static int dump_new(struct files *f, struct fdesc *d, struct ofd *o, struct err *err)
{
	const struct file_kind *kind;
	uint32_t id;

	TRY(fdesc_collect(d, f->a, err));
	kind = file_kind_match(f, d);
	id = files_new_id(f);
	log_debug("pid %d (%s): %s: file %u, %s, %s", d->o.t->pid, d->o.t->comm, d->what, id,
		  kind->name, d->name);
	if (kind->dump(f, d, id, err) < 0)
		return fdesc_err(d, err);
	o->id = id;
	o->type = kind->type;
	return 0;
}

/* Shown with the descriptor that the lock was taken through, in the table that owns it. */
static int refuse_lock(const struct fdesc *d, struct err *err)
{
	const char *lock = fdinfo_field(d->fdinfo, "lock");
	char line[128];

	if (!lock)
		return 0;
	str_copy(line, MIN(sizeof(line), strcspn(lock, "\n") + 1), lock);
	err_refuse(err, "let the program release it first",
		   "it holds a file lock (%s): file locks aren't supported yet", line);
	return fdesc_err(d, err);
}

/* One descriptor; *ret_id is 0 if it was closed meanwhile or (check_only) refused. */
static int dump_fd(struct files *f, struct target *t, int n, struct fdinfo *ret_info,
		   uint32_t *ret_id, uint32_t *ret_type, struct err *err)
{
	auto_fdesc struct fdesc d = {.local = -EBADF};
	struct ofd_key key;
	struct ofd *o;
	int r;

	*ret_id = 0;
	r = fdesc_identify(t, n, &d, f->a, err);
	if (r == -ENOENT && f->opts.check_only) {
		*err = ERR_INIT;
		return 0;
	}
	if (r < 0)
		return r;
	TRY(refuse_lock(&d, err));
	key = (struct ofd_key){.dev = d.st.st_dev, .ino = d.st.st_ino, .flags = d.info.flags};
	r = ofd_find(f->ofds, &key, t->pid, n, &o, err);
	if (r < 0)
		return fdesc_err(&d, err);
	if (r == 0) {
		r = dump_new(f, &d, o, err);
		if (r < 0)
			return r;
	}
	*ret_info = d.info;
	*ret_id = o->id;
	*ret_type = o->type;
	return 0;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

typedef VEC(int) int_vec;

/* The numbers in /proc/PID/fd, ascending. */
static int list_fds(const struct target *t, int_vec *ret, struct err *err)
{
	auto_closedir DIR *dir = NULL;
	int fd = openat(t->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !(dir = fdopendir(fd))) {
		int r = -errno;

		fd_close(fd);
		if (r == -ENOENT)
			return err_gone(err, "pid %d (%s) is gone", t->pid, t->comm);
		return err_sys(err, r, "pid %d (%s): open /proc/%d/fd", t->pid, t->comm, t->pid);
	}
	for (struct dirent *e; (e = readdir(dir));) {
		int n;

		if (e->d_name[0] != '.' && parse_int(e->d_name, &n) == 0 && n >= 0)
			*vec_push(ret) = n;
	}
	qsort(ret->data, ret->len, sizeof(ret->data[0]), compare_ints);
	return 0;
}

static int dump_fds(struct files *f, struct target *t, const int_vec *fds, struct img_writer *w,
		    struct err *err)
{
	vec_foreach (n, fds) {
		FdinfoEntry e = FDINFO_ENTRY__INIT;
		struct fdinfo info;
		uint32_t id, type;

		if (dump_fd(f, t, *n, &info, &id, &type, err) < 0) {
			TRY(files_refuse_or_report(f, err));
			continue;
		}
		if (!id || !w)
			continue;
		e.id = id;
		e.flags = info.cloexec ? FD_CLOEXEC : 0;
		e.type = (FdTypes)type;
		e.fd = (uint32_t)*n;
		TRY(img_put(w, &e.base, err));
	}
	return 0;
}

int files_dump_task(struct files *f, struct target *t, uint32_t files_id, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;
	int_vec fds = {0};
	int r = list_fds(t, &fds, err);

	if (r >= 0 && !f->opts.check_only)
		r = img_create(f->dir, IMG_FDINFO, files_id, &w, err);
	if (r >= 0)
		r = dump_fds(f, t, &fds, w, err);
	vec_done(&fds);
	if (r >= 0 && w) {
		struct img_writer *done = TAKE_PTR(w);

		r = img_close(done, err);
	}
	return r < 0 ? r : 0;
}

static int write_entries(struct files *f, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;

	TRY(img_create(f->dir, IMG_FILES, 0, &w, err));
	vec_foreach (e, &f->entries)
		TRY(img_put(w, &(*e)->base, err));
	return img_close(TAKE_PTR(w), err);
}

int files_dump_collected(struct files *f, struct err *err)
{
	if (f->collected)
		return 0;
	f->collected = true;
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->collected)
			TRY(file_kinds[i]->collected(f, err));
	return 0;
}

int files_dump_finish(struct files *f, struct mem_stats *stats, struct err *err)
{
	TRY(files_dump_collected(f, err));
	for (size_t i = 0; i < file_nkinds; i++)
		if (file_kinds[i]->dump_finish)
			TRY(file_kinds[i]->dump_finish(f, stats, err));
	TRY(remaps_finish(f, err));
	TRY(ghosts_finish(f, err));
	TRY(fingerprints_finish(f, err));
	if (f->opts.policies)
		TRY(policies_write(f->opts.policies, f->dir, err));
	return write_entries(f, err);
}

void files_dump_undo(struct files *f)
{
	remaps_undo(f);
}
