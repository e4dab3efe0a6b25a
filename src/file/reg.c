/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with a name: regular ones, directories, symlinks (O_PATH), devices without state of their
 * own. Also the files of mappings, of /proc/PID/exe, cwd and root.
 *
 * Visible: the name as it is now (readlink), inode, size and mode (fstat), flags and position
 * (fdinfo). A name is recorded only if it leads to the open inode; unlinked files go through
 * remap.c. Not visible: the flags of an open() that don't stay (O_TRUNC, O_CREAT). Refused: names
 * hidden under a mount, devices with state.
 */
#include "file/reg.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "file/ext.h"
#include "file/fingerprint.h"
#include "file/path.h"
#include "file/remap.h"
#include "image/buildid.h"
#include "image/schema/regfile.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d /* since 5.14 */
#endif

#define MEM_MAJOR  1 /* null, zero, full, random, urandom, kmsg ... */
#define MISC_MAJOR 10

/* ------------------------------------------------------------------ dump */

bool reg_device_is_plain(dev_t rdev)
{
	static const unsigned int misc[] = {
		144, /* nvram */
		183, /* hw_random */
		237, /* loop-control */
	};

	if (major(rdev) == MEM_MAJOR)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(misc); i++)
		if (major(rdev) == MISC_MAJOR && minor(rdev) == misc[i])
			return true;
	return false;
}

static bool reg_match(struct files *f, const struct fdesc *d)
{
	(void)f;
	if (d->name[0] != '/')
		return false; /* anon_inode:[...], mnt:[...] */
	if (S_ISCHR(d->st.st_mode))
		return (d->info.flags & O_PATH) || reg_device_is_plain(d->st.st_rdev);
	return S_ISREG(d->st.st_mode) || S_ISDIR(d->st.st_mode) || S_ISBLK(d->st.st_mode) ||
	       (d->info.flags & O_PATH);
}

const char *reg_find_device(int root, struct arena *a, const char *name, mode_t type, dev_t rdev)
{
	auto_closedir DIR *dir = NULL;
	struct stat st;
	int fd;

	if (fstatat(root, path_rel(name), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (st.st_mode & S_IFMT) == type && st.st_rdev == rdev)
		return name;
	fd = openat(root, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || !(dir = fdopendir(fd))) {
		fd_close(fd);
		return NULL;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (st.st_mode & S_IFMT) == type && st.st_rdev == rdev)
			return arena_printf(a, "/dev/%s", e->d_name);
	return NULL;
}

/*
 * procfs makes inodes on demand: numbers say nothing, and the entries of a dead process are gone.
 * Returns true if it is a file of procfs.
 */
static bool reg_dump_proc(struct files *f, const struct fdesc *d, uint32_t id, const char **name)
{
	size_t len = path_deleted_len(d->name);
	struct stat st;
	int pid;

	if (fdesc_fs_magic(d) != PROC_SUPER_MAGIC)
		return false;
	*name = len ? arena_printf(f->a, "%.*s", (int)len, d->name) : d->name;
	pid = path_proc_pid(*name);
	if (pid && fstatat(f->root, path_rel(*name), &st, AT_SYMLINK_NOFOLLOW) < 0)
		remap_dump_proc(f, id, pid);
	return true;
}

/*
 * Finds the name to record; whatever leads from that name to the file is recorded as a remap.
 * Returns 1 if the name leads to it by itself.
 */
static int reg_name(struct files *f, const struct fdesc *d, uint32_t id, const char **ret,
		    struct err *err)
{
	bool is_device = S_ISCHR(d->st.st_mode) || S_ISBLK(d->st.st_mode);
	const char *other;

	if (reg_dump_proc(f, d, id, ret))
		return 0;
	switch (path_find(f->root, d->name, &d->st, f->a, ret)) {
	case PATH_LINKED:
		return 1;
	case PATH_HIDDEN:
	case PATH_UNLINKED:
		break;
	}
	if (is_device && f->opts.evasive_devices) {
		other = reg_find_device(f->root, f->a, *ret, d->st.st_mode & S_IFMT, d->st.st_rdev);
		if (other) {
			log_info("%s isn't the open device any more, taking %s", *ret, other);
			*ret = other;
			return 0;
		}
	}
	if (path_deleted_len(d->name))
		return remap_dump(f, d, id, *ret, err);
	return err_refuse(err,
			  is_device ? "pass --evasive-devices to take any node of the device"
				    : "unmount what lies over it, or let the program close it",
			  "%s can't be reached: its name leads to another file or to none", *ret);
}

int reg_dump_as(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	RegFileEntry *e = arena_new_of(f->a, RegFileEntry);
	uint32_t flags = d->info.flags;
	const char *name;
	int linked = reg_name(f, d, id, &name, err);

	TRY(linked);
	/* A new open with O_TMPFILE would make another file. */
	if (flags & KERNEL_O_TMPFILE)
		flags &= ~(KERNEL_O_TMPFILE | O_DIRECTORY);
	reg_file_entry__init(e);
	e->id = id;
	e->flags = flags;
	e->pos = d->info.pos;
	e->fown = files_fown(f, &d->fown);
	e->name = arena_str(f->a, name);
	e->has_mode = true;
	e->mode = d->st.st_mode;
	if (S_ISCHR(d->st.st_mode) || S_ISBLK(d->st.st_mode))
		ext_put(f->a, &e->base, EXT_REG_RDEV, d->st.st_rdev);
	fingerprint_add(f, d, e, linked);
	files_entry(f, FD_TYPES__REG, id)->reg = e;
	log_debug("file %u: %s, flags %#o, pos %" PRIu64 ", size %" PRId64, id, name, flags,
		  d->info.pos, (int64_t)d->st.st_size);
	return 0;
}

static int reg_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	if (fdesc_fs_magic(d) == SECRETMEM_MAGIC)
		return err_refuse(
			err, "let the program close it first",
			"secret memory (memfd_secret): nobody but the program can read it");
	return reg_dump_as(f, d, id, err);
}

/* --------------------------------------------------------------- restore */

static const RegFileEntry *entry(const struct rfile *rf)
{
	return rf->e->reg;
}

const char *rfile_name(const struct rfile *rf)
{
	return rf->e->reg ? rf->e->reg->name : "?";
}

/* Where it is opened: elsewhere than the image says only for evasive devices (see the check). */
static const char *open_name(const struct rfile *rf)
{
	return rf->priv ? rf->priv : rfile_name(rf);
}

static bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return name[0] == '/' && len < PATH_MAX && !strstr(name, "/../") && !str_ends(name, "/..");
}

static int reg_load(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const RegFileEntry *e = entry(rf);

	(void)f;
	if (!e || e->id != rf->id)
		return err_input(err, "no reg_file_entry with this id");
	if (e->ext)
		return err_refuse(err, "restore it with an engine that supports --inherit-fd",
				  "external file %s isn't supported yet", e->name);
	if (!name_is_valid(e->name))
		return err_input(err, "broken name \"%.100s\"", e->name);
	if (e->has_size && e->size > INT64_MAX)
		return err_input(err, "%s: size %" PRIu64, e->name, e->size);
	if (e->has_log_size && e->log_size > INT64_MAX)
		return err_input(err, "%s: log_size %" PRIu64, e->name, e->log_size);
	if (e->n_build_id > BUILD_ID_WORDS)
		return err_input(err, "%s: build id of %zu words", e->name, e->n_build_id);
	if (e->has_checksum &&
	    !sum_spec_is_valid(e->checksum_config,
			       e->has_checksum_parameter ? e->checksum_parameter : 1))
		return err_input(err, "%s: checksum_config %u, checksum_parameter %u", e->name,
				 e->checksum_config, e->checksum_parameter);
	rf->flags = e->flags;
	rf->pos = e->pos;
	return rfile_load_fown(rf, e->fown, err);
}

/* Flags that act on open() only, or that come later (O_ASYNC: after the owner). */
#define NOT_AT_OPEN ((uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_ASYNC) | KERNEL_O_TMPFILE)

int reg_open_as(struct rfiles *f, struct rfile *rf, uint32_t flags, struct err *err)
{
	int oflags = (int)(flags & ~NOT_AT_OPEN) | O_NOCTTY | O_CLOEXEC, fd;

	if (rf->remap && rf->remap->type == REMAP_PROC)
		return remap_open_proc(f, rf->remap, rfile_name(rf), oflags, err);
	if (rf->remap) {
		/* O_NOFOLLOW would stop at the link in /proc itself. */
		fd = fd_reopen(rf->remap->base, oflags & ~O_NOFOLLOW);
	} else {
		fd = openat(f->root, path_rel(open_name(rf)), oflags);
		fd = fd < 0 ? -errno : fd;
	}
	if (fd < 0)
		return err_sys(err, fd, "open %s with flags %#o", rfile_name(rf), flags);
	return fd;
}

static int reg_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err)
{
	const RegFileEntry *e = entry(rf);
	int fd = reg_open_as(f, rf, rf->flags, err);

	(void)t;
	if (fd < 0 || rf->pos == 0 || rf->pos == UINT64_MAX || (rf->flags & O_PATH))
		return fd;
	/* Devices may not seek; their position is nobody's. */
	if (lseek(fd, (off_t)rf->pos, SEEK_SET) < 0 && S_ISREG(e->mode)) {
		int r = err_sys(err, -errno, "%s: seek to %" PRIu64, e->name, rf->pos);

		fd_close(fd);
		return r;
	}
	return fd;
}

static int reg_open_mapping(struct rfiles *f, struct rfile *rf, int flags, struct err *err)
{
	return reg_open_as(f, rf, (uint32_t)flags, err);
}

static void reg_describe(const struct rfile *rf, char *buf, size_t size)
{
	static const char *const how[] = {
		[REMAP_LINK] = ", from its link remap",
		[REMAP_GHOST] = ", deleted: from the image",
		[REMAP_PROC] = ", of a process that is gone",
		[REMAP_COPY] = ", changed: from its copy in the image",
	};

	snprintf(buf, size, "%s%s, flags %#o, position %" PRIu64, rfile_name(rf),
		 rf->remap ? how[rf->remap->type] : "", rf->flags, rf->pos);
}

const struct file_kind reg_kind = {
	.type = FD_TYPES__REG,
	.name = "file",
	.match = reg_match,
	.dump = reg_dump,
	.load = reg_load,
	.open = reg_open,
	.open_mapping = reg_open_mapping,
	.describe = reg_describe,
};
