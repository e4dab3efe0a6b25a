/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that don't lead to their file any more: unlinked ones (ghosts, link remaps) and /proc files
 * of processes that are gone.
 */
#pragma once

#include "file/kind.h"

/* ------------------------------------------------------------------ dump */

/* `name` of the REG entry `id` was removed: records where its file comes from at a restore. */
MUST_USE int remap_dump(struct files *f, const struct fdesc *d, uint32_t id, const char *name,
			struct err *err);
/* `name` is below /proc/pid, and that process is gone. */
void remap_dump_proc(struct files *f, uint32_t id, int pid);
/* Writes remap-fpath.img. */
MUST_USE int remaps_finish(struct files *f, struct err *err);
/* Removes the links that the dump made. */
void remaps_undo(struct files *f);

void remaps_dump_done(struct files *f);
void ghosts_dump_done(struct files *f);

/* The ghost of this inode (entered when new; refused if above the limit): its id. */
MUST_USE int ghost_dump(struct files *f, const struct fdesc *d, const char *name, uint32_t *ret_id,
			struct err *err);
/*
 * Writes one image of a ghost (or of another kind in that format): `target` is that of a symlink,
 * `fd` a readable descriptor of a regular file with something in it, else < 0.
 */
MUST_USE int ghost_write(struct files *f, enum img_kind kind, uint32_t id, const struct stat *st,
			 const char *target, int fd, struct err *err);
/* Writes ghost-file-*.img. */
MUST_USE int ghosts_finish(struct files *f, struct err *err);

/* --------------------------------------------------------------- restore */

struct rghost;
struct remap {
	enum {
		REMAP_LINK = 0, /* disk values */
		REMAP_GHOST = 1,
		REMAP_PROC = 2,
		REMAP_COPY, /* not on disk: a ghost of a file that isn't what it was */
	} type;
	uint32_t remap_id;
	struct rfile *carrier; /* REMAP_LINK */
	struct rghost *ghost;  /* REMAP_GHOST, REMAP_COPY */
	int base; /* O_PATH, with the original name where that was free; -EBADF before prepare */
};

MUST_USE int remaps_load(struct rfiles *f, struct err *err);
MUST_USE int remaps_prepare(struct rfiles *f, struct err *err);
/* REMAP_PROC: opens it while a process of ours has the pid. */
MUST_USE int remap_open_proc(struct rfiles *f, const struct remap *r, const char *name, int flags,
			     struct err *err);
/* Removes the carriers of link remaps: the restore has succeeded. */
void remaps_finish_restore(struct rfiles *f);
void remaps_done(struct rfiles *f); /* closes; may be called again */
void remaps_free(struct rfiles *f);
/* The file isn't what it was: this copy from the images is taken for it. */
MUST_USE int remap_to_copy(struct rfiles *f, struct rfile *rf, uint32_t embedded_id,
			   struct err *err);
/* The carrier must exist: for rfiles_check. */
bool remap_is_there(const struct rfiles *f, const struct remap *r);

/* kind: IMG_GHOST_FILE, IMG_MAPPED_FILE. */
MUST_USE int rghost_load(struct rfiles *f, enum img_kind kind, uint32_t id, struct rghost **ret,
			 struct err *err);
/*
 * Our O_PATH descriptor of the ghost's inode, made and filled at the first call; shown as `name`
 * (deleted) if that name is free now. Nothing is left on disk, whatever happens to us.
 */
MUST_USE int rghost_open(struct rfiles *f, struct rghost *g, const char *name, struct err *err);
void rghosts_done(struct rfiles *f);
