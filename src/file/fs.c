/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs-VPID.img: working directory, root directory, umask. Visible as /proc/PID/{cwd,root} and, since
 * Linux 4.7, as Umask in /proc/PID/status. Threads that don't share them (unshare(CLONE_FS)) aren't
 * told apart.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "file/kind.h"
#include "file/reg.h"
#include "image/schema/fs.pb-c.h"
#include "remote/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

/* ------------------------------------------------------------------ dump */

static int read_umask(const struct target *t, uint32_t *ret, struct err *err)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t v;
	int r = io_read_file(t->proc, "status", &text, NULL);

	if (r < 0)
		return err_sys(err, r, "pid %d (%s): read /proc/%d/status", t->pid, t->comm,
			       t->pid);
	p = fdinfo_field(text, "Umask");
	if (!p || !scan_u64(&p, 8, &v) || v > 0777)
		return err_kernel(err, "/proc/%d/status has no Umask", t->pid);
	*ret = (uint32_t)v;
	return 0;
}

int files_dump_fs(struct files *f, struct target *t, struct err *err)
{
	FsEntry e = FS_ENTRY__INIT;

	*vec_push(&f->tasks) = t;
	TRY(files_dump_link(f, t, "cwd", &e.cwd_id, err));
	TRY(files_dump_link(f, t, "root", &e.root_id, err));
	TRY(read_umask(t, &e.umask, err));
	e.has_umask = true;
	if (f->opts.check_only)
		return 0;
	return img_write_one(f->dir, IMG_FS, (uint64_t)t->vpid, &e.base, err);
}

/* --------------------------------------------------------------- restore */

static const struct rfs *find(const struct rfiles *f, const struct target *t)
{
	vec_foreach (fs, &f->fs)
		if (fs->vpid == (uint32_t)t->vpid)
			return fs;
	return NULL;
}

/* Where the task finds the directory: by its name, or, if that is gone, through a descriptor of
 * ours, which chdir() follows like any link. */
static int dir_path(struct rfiles *f, const struct rfile *rf, char *buf, size_t size,
		    struct err *err)
{
	int fd;

	if (!rf->remap) {
		str_copy(buf, size, rfile_name(rf));
		return 0;
	}
	fd = rfiles_open_mapping(f, rf->id, O_PATH | O_DIRECTORY, err);
	if (fd < 0)
		return fd;
	snprintf(buf, size, "/proc/%d/fd/%d", getpid(), fd);
	return 0;
}

/* The root last: names are those of torpor's root, and chroot() leaves the working directory. */
static int change_dirs(struct rfiles *f, struct target *t, const struct rfs *fs, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	char cwd[PATH_MAX], root[PATH_MAX];

	TRY(dir_path(f, fs->cwd, cwd, sizeof(cwd), err));
	TRY(dir_path(f, fs->root, root, sizeof(root), err));
	batch_must(b, batch_call(b, SYS_chdir, batch_str(b, cwd).va));
	if (strcmp(root, "/"))
		batch_must(b, batch_call(b, SYS_chroot, batch_str(b, root).va));
	if (fs->has_umask)
		batch_call(b, SYS_umask, fs->umask);
	TRY(batch_run(b, err));
	return batch_expect_all(b, err);
}

int rfiles_restore_fs(struct rfiles *f, struct target *t, struct err *err)
{
	const struct rfs *fs = find(f, t);

	if (!fs)
		return err_bug(err, "pid %d: no fs image was loaded", t->vpid);
	if (change_dirs(f, t, fs, err) < 0)
		return err_in(err, "pid %d (%s): cwd %s, root %s", t->vpid, t->comm,
			      rfile_name(fs->cwd), rfile_name(fs->root));
	return 0;
}
