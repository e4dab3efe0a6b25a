/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/: a checkpoint as its images tell, for those who look at it. Unlike the loaders of
 * a restore this is lenient: an image that is absent or broken fails just those who ask for it, and
 * checksums aren't compared (an edited image can be looked at, too). `torpor image check` verifies.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "image/image.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/fs.pb-c.h"
#include "image/schema/inventory.pb-c.h"
#include "image/schema/mm.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "image/store.h"
#include "inspect/context.h"

struct checkpoint_task {
	uint32_t pid;
	const PstreeEntry *e; /* NULL: of a pre-dump, which has no tree */
	size_t parent;	      /* its place in `tasks`; SIZE_MAX: the root, or of a pre-dump */
	unsigned int depth;   /* below the root */
	/* Loaded on demand. */
	const CoreEntry *core;
	const MmEntry *mm;
	const TaskKobjIdsEntry *ids;
	const FsEntry *fs;
};

struct space;
struct torpor_checkpoint {
	struct torpor_image *ctx;
	struct img_dir dir;
	char *path;
	struct arena *a; /* all records */
	const InventoryEntry *inventory;
	bool pre_dump;
	VEC(struct checkpoint_task) tasks; /* in the order of pstree.img: parents first */
	struct map by_pid;		   /* to places in `tasks` */
	bool files_loaded;
	VEC(const FileEntry *) files; /* of files.img */
	struct map by_file_id;	      /* to places in `files` */
	struct page_store *store;     /* opened on demand */
	struct space *space;	      /* space.h: the last one that was looked at */
};

/* NULL and an error that says which there are, if it isn't one of the tree. */
const struct checkpoint_task *checkpoint_find(struct torpor_checkpoint *cp, uint32_t pid,
					      struct err *err);
/* Each loads once, and returns what is there from then on. ERR_INPUT: missing or broken. */
MUST_USE int checkpoint_core(struct torpor_checkpoint *cp, struct checkpoint_task *t,
			     const CoreEntry **ret, struct err *err);
MUST_USE int checkpoint_mm(struct torpor_checkpoint *cp, struct checkpoint_task *t,
			   const MmEntry **ret, struct err *err);
MUST_USE int checkpoint_ids(struct torpor_checkpoint *cp, struct checkpoint_task *t,
			    const TaskKobjIdsEntry **ret, struct err *err);
MUST_USE int checkpoint_fs(struct torpor_checkpoint *cp, struct checkpoint_task *t,
			   const FsEntry **ret, struct err *err);
/* Of a thread other than the leader; not kept. */
MUST_USE int checkpoint_thread_core(struct torpor_checkpoint *cp, uint32_t tid, struct arena *a,
				    const CoreEntry **ret, struct err *err);
/* A dead process: its core has no registers, and there is no mm. */
bool checkpoint_is_zombie(const CoreEntry *core);

/* files.img, and the entry with this id; *ret is NULL if there is none. */
MUST_USE int checkpoint_files(struct torpor_checkpoint *cp, struct err *err);
MUST_USE int checkpoint_file(struct torpor_checkpoint *cp, uint32_t id, const FileEntry **ret,
			     struct err *err);

/* The pages of this directory and of those it builds on. */
MUST_USE int checkpoint_store(struct torpor_checkpoint *cp, struct page_store **ret,
			      struct err *err);
/* The shared objects that have a pagemap in this directory; to be freed in any case. */
MUST_USE int checkpoint_shmems(struct torpor_checkpoint *cp, uint64_t **ret, size_t *ret_n,
			       struct err *err);
