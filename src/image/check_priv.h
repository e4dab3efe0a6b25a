/* SPDX-License-Identifier: Apache-2.0 */
/* Inside image/: what the files check_*.c share while they look at one directory. */
#pragma once

#include "base/vec.h"
#include "image/check.h"
#include "image/idmap.h"
#include "image/pages.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/inventory.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "image/store.h"

#include <inttypes.h>

#define CHECK_PAGE UINT64_C(4096)
/* PID_MAX_LIMIT of the kernel */
#define CHECK_PID_MAX (4u * 1024 * 1024)

struct check_task {
	const PstreeEntry *e;
	uint32_t files_id; /* 0: a zombie */
	bool zombie;
};

/* What refers to a file of files.img, until all of them are known. */
struct check_ref {
	uint64_t at; /* of the record in files.img that refers */
	const char *field;
	uint32_t id, type; /* FD_TYPES__* */
};

struct check {
	const struct img_dir *dir;
	struct arena *a;       /* the caller's */
	struct arena *scratch; /* of the task that is looked at: check_scratch() */
	unsigned int scratch_uses;
	const InventoryEntry *inventory;
	struct page_store *store; /* these images, and those they build on */
	VEC(struct check_task) tasks;
	struct idmap pids;    /* pids and tids of the tree, to their places in `tasks` */
	struct idmap files;   /* file ids to the types that they have: 1 << FD_TYPES__* */
	struct idmap tables;  /* files_ids of descriptor tables that were looked at */
	struct idmap memfds;  /* inode ids */
	struct idmap ttys;    /* ids of tty-info */
	struct idmap pipes;   /* pipe_ids of data, in pipes or in fifos */
	struct idmap remaps;  /* file ids of remap-fpath */
	struct idmap shmids;  /* of shared memory, whose pagemaps were looked at */
	struct idmap cg_sets; /* of cgroup.img */
	/* Which address space, which handlers and which file system context is whose. */
	struct idmap vm_ids, sighand_ids, fs_ids;
	VEC(struct check_ref) refs;
	size_t nfilters; /* of seccomp.img */
	/* Is told of each problem, for a list of all; NULL: the first one ends the check. */
	image_problem_fn *report;
	void *report_arg;
	/* With `report`: what couldn't be read, so that nothing is said of references to it. */
	bool files_unknown, tree_unknown;
};

/* What to do about a problem: 0 and the error forgotten if it was reported, or its code. */
MUST_USE int check_note(struct check *c, struct err *err);
/* Evaluates `expr`; leaves the function if it fails, unless all problems are to be listed. */
#define NOTE(c, expr, err)                                                                         \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			TRY(check_note((c), (err)));                                               \
	} while (0)

/* Everything; and gives back what it needed. */
MUST_USE int check_all(struct check *c, struct err *err);
void check_done(struct check *c);

/* For what isn't needed any more at the next call. */
struct arena *check_scratch(struct check *c);

MUST_USE int check_inventory(struct check *c, struct err *err);
/* pstree.img: numbers, order. Fills tasks and pids. */
MUST_USE int check_tree(struct check *c, struct err *err);
/* ids-PID.img of a live task. Fills files_id. */
MUST_USE int check_ids(struct check *c, struct check_task *t, struct err *err);
/* seccomp.img and cgroup.img: what cores refer to. */
MUST_USE int check_shared_core(struct check *c, struct err *err);
/* core-*.img of a task and its threads. Fills zombie. */
MUST_USE int check_cores(struct check *c, struct check_task *t, struct err *err);
/* files.img and what is beside it (remaps, ghosts, memfds, ttys, pipes, queues). Fills files. */
MUST_USE int check_files(struct check *c, struct err *err);
/* fdinfo-*.img and fs-PID.img of a live task. */
MUST_USE int check_task_files(struct check *c, const struct check_task *t, struct err *err);
/* mm-PID.img and pagemap-PID.img of a live task. */
MUST_USE int check_mem(struct check *c, const struct check_task *t, struct err *err);
/* pagemap-shmem-SHMID.img, if it is there: its pages lie inside `size` bytes. */
MUST_USE int check_shmem(struct check *c, uint64_t shmid, uint64_t size, struct err *err);

/* Ranges of single values, as the loaders of a restore want them. `image`: for messages. */
MUST_USE int check_thread_values(struct check *c, const char *image, const ThreadCoreEntry *e,
				 struct err *err);
MUST_USE int check_task_values(struct check *c, const char *image, const TaskCoreEntry *e,
			       struct err *err);
MUST_USE int check_file_values(const FileEntry *e, struct err *err);

/* A file id that `image` names in `field`: known, and of this type. */
MUST_USE int check_file_id(const struct check *c, const char *image, const char *field, uint64_t id,
			   uint32_t type, struct err *err);
