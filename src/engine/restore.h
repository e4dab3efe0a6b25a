/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of a restore share: the images as loaded, the plan, the processes so far. */
#pragma once

#include "engine/options.h"
#include "engine/plan.h"
#include "file/files.h"
#include "file/policy.h"
#include "image/inventory.h"
#include "image/readahead.h"
#include "mem/keeper.h"
#include "mem/restore.h"
#include "remote/build.h"
#include "task/task.h"

/* One node of the plan. */
struct restore_task {
	struct rtask *props;	     /* NULL for helpers */
	struct rmem *mem;	     /* NULL for zombies and helpers */
	struct target *target;	     /* once it is made; NULL again once it is reaped */
	const struct rmem *inherits; /* what its address space holds while it is being built */
	const uint32_t *vtids;	     /* of its threads, the leader's first */
	uint32_t files_id;
	bool owns_files; /* the first task with this descriptor table */
};

struct restore {
	const struct options *o;
	const struct img_dir *dir;
	struct page_store *store;
	struct readahead *readahead;
	struct pool *pool;
	struct arena *arena;
	struct plan plan;
	struct restore_task *tasks; /* parallel to plan.nodes */
	uint32_t time_ns_id;	    /* of timens-<id>.img */
	struct inventory inventory;
	struct rtasks *props;
	struct rfiles *files;
	struct policies policies; /* of files */
	struct mem_common *mem_common;
	struct mem_opener opener;
	struct build *build;
	struct keeper keeper; /* --track-mem: the trackers so far, no process */
	struct rmem_stats mem_stats;
	uint64_t forking_us;
	bool has_pidfile; /* ours: another one of that name stays */
};

/* Reads and validates all images, makes the plan. Touches nothing (restore_load.c). */
MUST_USE int restore_load(struct restore *r, struct err *err);
/* Everything that this machine could refuse, before anything is made (restore_load.c). */
MUST_USE int restore_check(struct restore *r, struct err *err);
/* Walks the plan: all processes exist, with their memory, sessions and groups (restore_grow.c). */
MUST_USE int restore_grow(struct restore *r, struct err *err);
/* --track-mem: can it be, and whose images are these? (restore_track.c) */
MUST_USE int restore_track_check(struct restore *r, struct err *err);
/* Memory is complete: what is written from here on counts. A task for which that fails isn't
 * tracked, with a warning. */
void restore_track(struct restore *r);
/* The tree runs: a keeper takes the trackers. A failure is a warning. */
void restore_keep(struct restore *r, pid_t root);
/* Kills and reaps what has been made (restore_grow.c). Never fails. */
void restore_kill(struct restore *r);
