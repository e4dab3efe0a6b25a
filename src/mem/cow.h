/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages several tasks share copy-on-write: the same physical page at the same address.
 */
#pragma once

#include "mem/run.h"
#include "remote/target.h"

/* Pages of one task that an earlier one has as well. */
struct cow_run {
	uint64_t start;
	uint32_t npages;
	uint32_t owner; /* index of the first task that has them */
};
typedef VEC(struct cow_run) cow_run_vec;

struct cow_task {
	const struct target *target;
	const struct vma *vmas; /* ascending; guards and [vsyscall] at the end don't matter */
	size_t nvmas;
};

struct cow_map;

/*
 * Looks through all address spaces at once, in windows. What can't be seen (frame numbers without
 * CAP_SYS_ADMIN, a task that is gone) isn't shared: that costs room in the image, no more. NULL if
 * nothing is. If the tasks run, the answer is a guess: see cow_still_shared.
 */
struct cow_map *cow_find(const struct cow_task *tasks, size_t n);
void cow_map_free(struct cow_map *m); /* accepts NULL */
/* The runs of one task, ascending; empty for m == NULL. */
const cow_run_vec *cow_map_runs(const struct cow_map *m, size_t task);

/*
 * For tasks that run: which of these pages are one at this moment, appended to *ret (`owner` is
 * passed through). Those that were copied from the owner before are then the task's bytes, too.
 */
void cow_still_shared(const struct target *owner, const struct target *task,
		      const struct cow_run *run, cow_run_vec *ret);

/* All tasks of the tree, as numbered by the runs. */
struct cow_peers {
	const struct target *self;
	const struct target *const *targets; /* NULL: what the runs say isn't looked at again */
	const uint32_t *vpids;
};

/*
 * A source whose runs come out as PE_COW as far as they are (still) shared. Takes `from`, which is
 * freed with it.
 */
struct page_source *cow_source_new(struct page_source *from, const cow_run_vec *runs,
				   const struct cow_peers *peers);

/*
 * What cow_find does with the pagemap entries of a window; by itself for tests. Tasks are added in
 * order, each with ascending addresses inside [start, start + COW_WINDOW pages) of the window.
 */
#define COW_WINDOW 8192u

struct cow_window;
struct cow_window *cow_window_new(void);
void cow_window_free(struct cow_window *w); /* accepts NULL */
void cow_window_begin(struct cow_window *w, uint64_t start);
void cow_window_add(struct cow_window *w, uint32_t task, uint64_t at, const uint64_t *entries,
		    size_t n, cow_run_vec *ret);
