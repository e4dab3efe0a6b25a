/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of files: the interface that each of them implements, and the state of a dump and of a
 * restore that they work on. To add a kind: one file with one const struct, one row in kinds.c.
 */
#pragma once

#include "file/fd.h"
#include "file/files.h"
#include "file/share.h"

#include "base/vec.h"
#include "image/schema/fdinfo.pb-c.h"

/* ------------------------------------------------------------------ dump */

struct ghosts;	     /* unlinked inodes whose content goes into the image: ghost.c */
struct remaps;	     /* names that don't lead to their file any more: remap.c */
struct pipes;	     /* pipe.c */
struct memfds;	     /* memfd.c */
struct ttys;	     /* tty.c */
struct mapped;	     /* files of mappings and links that have an id already: mapping.c */
struct fingerprints; /* fingerprint.c */

struct files {
	const struct img_dir *dir; /* not used with opts.check_only */
	struct file_opts opts;
	struct arena *a;
	uint32_t next_id;
	struct ofd_table *ofds;
	VEC(FileEntry *) entries;   /* becomes files.img */
	VEC(struct target *) tasks; /* all that were met */
	int root;		    /* "/" of torpor: what names are relative to */
	bool collected;		    /* files_dump_collected ran */
	struct ghosts *ghosts;
	struct remaps *remaps;
	struct pipes *pipes, *fifos;
	struct memfds *memfds;
	struct ttys *ttys;
	struct mapped *mapped;
	struct fingerprints *fingerprints;
};

/* A new entry with type and id set, already in the list. */
FileEntry *files_entry(struct files *f, FdTypes type, uint32_t id);
uint32_t files_new_id(struct files *f);
/* check_only: reports the refusal and clears it, so that the caller goes on; else passes it up. */
MUST_USE int files_refuse_or_report(struct files *f, struct err *err);
FownEntry *files_fown(struct files *f, const struct fown *o);

/* --------------------------------------------------------------- restore */

struct file_kind;
struct remap;

/* An open file description to be made. */
struct rfile {
	uint32_t id;
	const struct file_kind *kind;
	const FileEntry *e; /* validated by kind->load */
	uint32_t flags;
	uint64_t pos;
	struct fown fown;
	void *priv;	      /* the kind's */
	struct remap *remap;  /* REG: how its name is made to lead to it; NULL: it does */
	bool is_async;	      /* O_ASYNC is noted to be set */
	bool is_carrier;      /* REG: only there for a link remap */
	int fd;		      /* ours while somebody still needs it, else -EBADF */
	uint32_t users;	      /* descriptors that are still to be installed */
	struct mapfd *mapfds; /* ours, for mappings */
};

/* Our descriptor for mapping a file, one for each way of opening it. */
struct mapfd {
	struct mapfd *next;
	int flags, fd;
};

/* A line of an fdinfo image. */
struct rfd {
	struct rfile *file;
	int num;
	bool cloexec;
};
struct rtable {
	uint32_t files_id;
	struct rfd *fds;
	size_t n;
	bool installed;
};
struct rfs {
	uint32_t vpid, pgid;
	struct rfile *cwd, *root;
	bool has_umask;
	uint32_t umask;
};

/* A descriptor that gets O_ASYNC at the end. */
struct rasync {
	struct target *t;
	int num;
	uint32_t flags;
};

struct rfiles {
	const struct img_dir *dir;
	struct file_opts opts;
	struct arena *a;
	VEC(struct rfile) files; /* ascending ids, once loaded */
	VEC(struct rtable) tables;
	VEC(struct rfs) fs;
	VEC(struct rasync) async;
	int root;
	struct rghosts *ghosts;
	struct rremaps *remaps;
	struct rcuts *cuts; /* cut.c */
	struct rpipes *pipes, *fifos;
	struct rmemfds *memfds;
	struct rttys *ttys;
};

/* The file with this id; ERR_INPUT naming who wants it if there is none (or of another type). */
MUST_USE int rfiles_get(struct rfiles *f, uint32_t id, FdTypes type, const char *who,
			struct rfile **ret, struct err *err);
/* Checks and copies an owner of an image. */
MUST_USE int rfile_load_fown(struct rfile *rf, const FownEntry *e, struct err *err);
/* Opens it if it isn't yet; the descriptor is rf's, complete with flags, owner and position. */
MUST_USE int rfile_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err);

/* ------------------------------------------------------------------ kind */

struct file_kind {
	FdTypes type; /* FD_TYPES__UND: refuses */
	const char *name;

	/* Dump. Is it of this kind? Everything in `d` is filled in. Asked in the table's order. */
	bool (*match)(struct files *f, const struct fdesc *d);
	/*
	 * Adds the entry (or entries) that describe it; `id` is the description's. With check_only
	 * it refuses whatever a dump would refuse, and leaves the machine alone. An error is put
	 * behind "pid (comm): fd N: " by the caller.
	 */
	int (*dump)(struct files *f, const struct fdesc *d, uint32_t id, struct err *err);
	/* Once, when everything has been met, before any content is written: refusals that need the
	 * whole picture. Complete with pid and object. */
	int (*collected)(struct files *f, struct err *err);
	/* Once, at the end: contents. The tree is still frozen. */
	int (*dump_finish)(struct files *f, struct mem_stats *stats, struct err *err);
	/* Frees what the dump half keeps besides the arena. */
	void (*dump_done)(struct files *f);

	/* Restore. Once, before the entries: own images of the kind. */
	int (*load_all)(struct rfiles *f, struct err *err);
	/* Validates rf->e; fills in flags, pos, fown, priv. Other entries may not be there yet. */
	int (*load)(struct rfiles *f, struct rfile *rf, struct err *err);
	/* All are loaded: resolves references to others. */
	int (*link)(struct rfiles *f, struct rfile *rf, struct err *err);
	/* Before any process exists: makes what descriptors and mappings will refer to. */
	int (*prepare)(struct rfiles *f, struct err *err);
	/* Opens it, in our context or in t's, and sets the position; returns our descriptor. Owner
	 * and changeable flags follow from the caller. */
	int (*open)(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err);
	/* For a mapping: our own descriptor, with these open flags. */
	int (*open_mapping)(struct rfiles *f, struct rfile *rf, int flags, struct err *err);
	/* Once, after all descriptors have been installed: contents, seals. */
	int (*finish)(struct rfiles *f, struct err *err);
	/* What the object will be opened as; one line for --dry-run, without newline. */
	void (*describe)(const struct rfile *rf, char *buf, size_t size);
	/* Frees what load, prepare and open keep besides the arena. Any state. */
	void (*done)(struct rfiles *f);
};

/* First match wins; the last row always matches, and refuses. */
extern const struct file_kind *const file_kinds[];
extern const size_t file_nkinds;
const struct file_kind *file_kind_of_type(FdTypes type);
const struct file_kind *file_kind_match(struct files *f, const struct fdesc *d);

extern const struct file_kind socket_kind, pipe_kind, fifo_kind, tty_kind, memfd_kind, eventfd_kind,
	reg_kind, unknown_kind;
