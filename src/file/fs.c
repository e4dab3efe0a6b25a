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
#include "remote/pass_fd.h"

#include <errno.h>
#include <fcntl.h>
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

	TRY(files_dump_link(f, t, "cwd", &e.cwd_id, err));
	TRY(files_dump_link(f, t, "root", &e.root_id, err));
	TRY(read_umask(t, &e.umask, err));
	e.has_umask = true;
	if (f->opts->check_only)
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

/* Both directories are lent to the task, which changes to them by descriptor: no name is looked
 * up twice, and deleted ones work the same. */
static int change_dirs(struct target *t, const struct rfs *fs, int cwd, int root, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	struct tfd tcwd = {-1}, troot = {-1};
	raddr_t dot = batch_str(b, ".");
	int r;

	r = target_lend_fd(t, root, &troot, err);
	if (r >= 0)
		r = target_lend_fd(t, cwd, &tcwd, err);
	if (r >= 0) {
		batch_must(b, batch_call(b, SYS_fchdir, (uint64_t)troot.n));
		batch_must(b, batch_call(b, SYS_chroot, dot.va));
		batch_must(b, batch_call(b, SYS_fchdir, (uint64_t)tcwd.n));
		if (fs->has_umask)
			batch_call(b, SYS_umask, fs->umask);
		r = batch_run(b, err);
	}
	if (r >= 0)
		r = batch_expect_all(b, err);
	if (tcwd.n >= 0 && target_return_fd(t, tcwd, err) < 0)
		r = err->code;
	if (troot.n >= 0 && target_return_fd(t, troot, err) < 0)
		r = err->code;
	return r;
}

int rfiles_restore_fs(struct rfiles *f, struct target *t, struct err *err)
{
	const struct rfs *fs = find(f, t);
	int cwd, root;

	if (!fs)
		return err_bug(err, "pid %d: no fs image was loaded", t->vpid);
	root = rfiles_open_mapping(f, fs->root->id, O_PATH | O_DIRECTORY, err);
	if (root < 0)
		return err_in(err, "pid %d (%s): root directory", t->vpid, t->comm);
	cwd = rfiles_open_mapping(f, fs->cwd->id, O_PATH | O_DIRECTORY, err);
	if (cwd < 0)
		return err_in(err, "pid %d (%s): working directory", t->vpid, t->comm);
	return change_dirs(t, fs, cwd, root, err) < 0
		       ? err_in(err, "pid %d (%s): cwd %s, root %s", t->vpid, t->comm,
				rfile_name(fs->cwd), rfile_name(fs->root))
		       : 0;
}
