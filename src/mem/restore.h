/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building an address space from outside.
 *
 * Order for a tree: build of the parent, then the child is forked (it starts as a copy of the
 * parent: pages are shared copy-on-write), then build of the child brings that copy to what the
 * child's image says: what isn't the child's is unmapped, pages that equal the parent's stay
 * shared, only different ones are written. rmem_finish comes after the last fork of the task.
 */
#pragma once

#include "image/store.h"
#include "mem/vma.h"
#include "remote/target.h"

struct mem_plan; /* mem/plan.h */

/* Pages that a task has as long as its children are cloned, instead of its own: for them. */
struct page_over {
	uint64_t va, npages;
	const uint8_t *src;
};
typedef VEC(struct page_over) page_over_vec;

/* The memory of one task, as its images say, validated. */
struct rmem {
	uint32_t vpid;
	vma_vec vmas;		      /* ascending, then guards */
	size_t nreal;		      /* without the guards */
	const struct page_map *pages; /* the store's */
	bool knows_cow; /* pages are one if and only if they have one `src`; else bytes tell */
	uint64_t start_code, end_code, start_data, end_data, start_stack, start_brk, brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	const uint64_t *auxv;
	size_t nauxv;
	int dumpable;
	bool has_thp_disabled, thp_disabled;
	uint32_t exe_file_id;
	/* Set by rmem_share. */
	vma_vec held; /* what it has while its children are cloned, if that is more (mem/lend.c) */
	page_over_vec over; /* ascending */
	struct mem_plan *plan;
	const struct rmem *plan_base;
};

/* The store has to outlive it, and whoever was built from it. */
MUST_USE int rmem_load(const struct img_dir *dir, struct page_store *store, uint32_t vpid,
		       struct arena *a, struct rmem **ret, struct err *err);
void rmem_free(struct rmem *m);

/*
 * Compares all tasks with those that they will be forked from, before any of them is built:
 * base[i] is the index of the task whose copy task i starts as, or -1. Without this call each
 * rmem_build compares for itself, and pages that only siblings have in common aren't shared.
 */
void rmem_share(struct rmem *const *all, const int *base, size_t n);

/* A range of len bytes that is free in all of them (and far from stacks that may grow). */
MUST_USE int rmem_find_hole(struct rmem *const *all, size_t n, uint64_t len, uint64_t *ret,
			    struct err *err);

/*
 * What the tasks of one restore share: anonymous shared memory that images name by a shmid, what
 * is known about this kernel's vDSO, and threads that copy pages. Store and pool stay the caller's.
 */
struct mem_common;
MUST_USE int mem_common_new(struct page_store *store, struct pool *pool, struct mem_common **ret,
			    struct err *err);
void mem_common_free(struct mem_common *c); /* accepts NULL */

/* How mem/ gets at files: the engine passes file/'s functions in. */
struct mem_opener {
	void *ctx;
	struct mem_common *common;
	/* Our own descriptor (the callee keeps it) of this file entry for mmap with fdflags. */
	int (*open)(void *ctx, uint32_t file_id, uint32_t fdflags, struct err *err);
};

struct rmem_stats {
	uint64_t pages_restored, pages_compared, pages_skipped_cow;
};

/*
 * Maps and fills. `base` is what the task's address space holds now: the rmem of the task that it
 * was forked from, or NULL if it is empty. Its leader is entered; its fd table is empty but for
 * the mailbox, and is so again afterwards.
 */
MUST_USE int rmem_build(struct target *t, const struct rmem *m, const struct rmem *base,
			const struct mem_opener *opener, struct rmem_stats *stats, struct err *err);
/* vDSO and vvar, final protections, madvise, mlock, guards, PR_SET_MM_MAP (exe, brk, auxv, ...). */
MUST_USE int rmem_finish(struct target *t, const struct rmem *m, const struct mem_opener *opener,
			 struct err *err);
/* dumpable and THP: after credentials, whose change resets dumpable. */
MUST_USE int rmem_finish_late(struct target *t, const struct rmem *m, struct err *err);
