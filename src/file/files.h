/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of a tree: descriptors, what they refer to, and how it is made again.
 * Format facts: ../shared/formats/IMAGES.md sections 8 to 12.
 *
 * One file per kind (kind.h, kinds.c). What kinds share (flags, owner, position, sharing between
 * tasks by kcmp) is in fd.c.
 */
#pragma once

#include "image/checksum.h"
#include "image/image.h"
#include "mem/dump.h"
#include "mem/vma.h"
#include "remote/target.h"

struct policies; /* policy.h */

/* What tells whether a file is the same: its size in any case, and ... */
enum file_identify {
	FILE_BY_BUILD_ID, /* the build id; a checksum where there is none */
	FILE_BY_SIZE,
	FILE_BY_CHECKSUM,
};

struct file_opts {
	bool link_remap;
	uint64_t ghost_limit; /* UINT64_MAX: none */
	bool evasive_devices;
	bool shell_job;
	bool check_only;     /* check --tree: look, don't change anything, report all refusals */
	bool leave_running;  /* link remaps are removed again after the dump */
	bool skip_rwx_check; /* restore: don't compare permission bits */
	/* Restore: FILE_BY_SIZE, or all that the images have. */
	enum file_identify identify;
	struct sum_spec sum;		 /* dump: of checksums */
	bool embed_mapped;		 /* dump: copies of mapped files go into the images */
	const struct policies *policies; /* what may have become of files; NULL: no rules */
	struct page_store *store;	 /* restore: contents of shared memory objects */
	/*
	 * With check_only: gets every refusal, complete with pid and object; the collecting goes on
	 * if it returns 0. NULL: the first refusal is returned as for a dump.
	 */
	int (*report)(void *ctx, const struct err *err);
	void *report_ctx;
};

/* ------------------------------------------------------------------ dump */

/* All files of one dump; hands out file ids (from 1). */
struct files;
struct files *files_new(const struct img_dir *dir, const struct file_opts *opts, struct arena *a);
void files_free(struct files *f);

/*
 * The descriptors of one process, into fdinfo-<files_id>.img. The tree is frozen (or, for
 * check_only, running). Doesn't need the target entered: pidfd_getfd and /proc/PID/fdinfo.
 * Refusals name pid, fd, object and remedy.
 */
MUST_USE int files_dump_task(struct files *f, struct target *t, uint32_t files_id, struct err *err);
/* The file of a mapping (/proc/PID/map_files): its id for vma.shmid, and fdflags. Memfd and
 * anonymous shared memory get MEMFD entries. */
MUST_USE int files_dump_mapping(struct files *f, struct target *t, struct vma *v, struct err *err);
/* /proc/PID/{exe,cwd,root} as REG entries. `name` is one of these three words. */
MUST_USE int files_dump_link(struct files *f, struct target *t, const char *name, uint32_t *ret_id,
			     struct err *err);
/* cwd, root and umask, into fs-VPID.img. */
MUST_USE int files_dump_fs(struct files *f, struct target *t, struct err *err);
/* All tasks have been met: refusals that need the whole picture (a terminal whose other end isn't
 * in the tree). files_dump_finish does it if nobody did. */
MUST_USE int files_dump_collected(struct files *f, struct err *err);
/* Writes what is known only at the end: files.img, ghosts, remaps, pipe data, memfd and shared
 * memory contents, tty data. */
MUST_USE int files_dump_finish(struct files *f, struct mem_stats *stats, struct err *err);
/* Undoes what the dump did to the machine (link remaps); after a failure or with leave_running. */
void files_dump_undo(struct files *f);

/* --------------------------------------------------------------- restore */

struct rfiles;
/* Reads and validates all images about files. Touches nothing. */
MUST_USE int rfiles_load(const struct img_dir *dir, const struct file_opts *opts, struct arena *a,
			 struct rfiles **ret, struct err *err);
void rfiles_free(struct rfiles *f);
/* The descriptors of a table; the highest fd number of all tables (for the mailbox). */
MUST_USE int rfiles_max_fd(const struct rfiles *f);
/* Compares every file with the image: a warning for each mismatch, and one error. */
MUST_USE int rfiles_check(struct rfiles *f, struct err *err);
/* Prints what each object will be opened as (restore --dry-run). */
void rfiles_print_plan(const struct rfiles *f);
/* Temporary names and links (ghosts), shared memory objects: what others refer to. */
MUST_USE int rfiles_prepare(struct rfiles *f, struct err *err);
/* The process has just become a session leader, and has no children yet: gives it its controlling
 * terminal, if it had one. */
MUST_USE int rfiles_take_terminal(struct rfiles *f, struct target *t, struct err *err);
/* For mem_opener: our own descriptor for mapping this file; stays rfiles' property. */
MUST_USE int rfiles_open_mapping(void *rfiles, uint32_t file_id, uint32_t fdflags, struct err *err);
/*
 * Opens what the table of this task needs and installs it, with flags, owner and position. All
 * processes exist already (F_SETOWN targets, /proc/PID files, controlling terminals).
 * files_id shared by several tasks: called for the first of them only.
 */
MUST_USE int rfiles_install(struct rfiles *f, struct target *t, uint32_t files_id, struct err *err);
/* chroot, chdir, umask. */
MUST_USE int rfiles_restore_fs(struct rfiles *f, struct target *t, struct err *err);
/*
 * After all tables and all mappings: pipe and tty contents, seals. Closes everything that torpor
 * itself still holds of the tree's files.
 */
MUST_USE int rfiles_finish(struct rfiles *f, struct err *err);
/* Cuts files back whose policy says so. Can't be undone: the last step that may fail. */
MUST_USE int rfiles_cut_back(struct rfiles *f, struct err *err);
/* The tree runs: removes the link remaps from disk, which makes these images unusable. */
void rfiles_commit(struct rfiles *f);
/* Removes temporary names after a failure. Never fails. */
void rfiles_undo(struct rfiles *f);
