/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm: tasks that write pages at a steady rate, know exactly what each page holds, and
 * meanwhile do to their address spaces whatever can get in the way of somebody who reads them:
 * unmap, map again, move, shrink, grow, protect, drop, punch, collapse, fork, exec, end.
 *
 * A *world* belongs to one thread: some *places* (mappings of all kinds at addresses of their own)
 * and a *note* for each page. A page is a function of place, number, generation and patch, so that
 * every byte can be checked at any time, and a wrong page says which state it is from. Notes of
 * private places lie in shared memory and the other way round: the two take different ways into
 * the images, so that neither can go back in time unnoticed. Against both going back together,
 * each world counts its steps, in its own memory and in a file that isn't part of any image.
 */
#pragma once

#include "behave.h"
#include "maps.h"

struct storm_options {
	unsigned int tasks;   /* 1: no forked ones at the start */
	unsigned int threads; /* in each task */
	unsigned int scale;   /* how many MiB the largest place of a world has */
	unsigned int burst;   /* pages written in each step */
	unsigned int nap_ms;  /* after each step */
	bool races;	      /* all the other operations, too */
};
/* The body of a behaviour test: returns when it was told to go, everything checked. */
void storm(const struct storm_options *o);

/* ---------------------------------------------------------------- a world */

enum storm_kind {
	STORM_ANON,   /* private anonymous */
	STORM_HUGE,   /* the same, aligned and advised to be huge pages */
	STORM_FILE,   /* private, of a file */
	STORM_SHARED, /* shared anonymous: one object per mapping */
	STORM_MEMFD,  /* shared, of a memfd, also written by write() */
	STORM_HEAP,   /* brk; in the first world of a process */
};

/* What a page holds; all 0: what a fresh mapping shows. */
struct storm_note {
	uint32_t gen;	/* 0: the pristine page below the patch */
	uint16_t patch; /* not 0: one word differs from what gen says */
	uint16_t freed; /* by MADV_FREE: may also be zero by now */
};

struct storm_place {
	enum storm_kind kind;
	uint32_t id;
	char *at;      /* where it is, one of the two homes */
	char *home[2]; /* far from everything else; each has room for `max` pages */
	char *shadow;  /* moved with MREMAP_DONTUNMAP: the empty old mapping, until the next move */
	size_t npages, max;
	int prot;
	bool split; /* may be several vmas: the kernel won't move or resize those */
	int fd;	    /* STORM_MEMFD, STORM_FILE */
	struct storm_note *notes;
};

enum { STORM_PLACES = 7, STORM_CHILDREN = 2, STORM_SLOTS = 1024 };

struct storm_world {
	const struct storm_options *o;
	struct storm_place places[STORM_PLACES];
	size_t nplaces;
	char *notes_shared, *notes_private;
	size_t notes_len;   /* of each */
	unsigned int slot;  /* in the table of counters */
	unsigned int depth; /* forks between the root and here */
	uint64_t steps, rng;
	pid_t children[STORM_CHILDREN];
};

/* At the place number `index` of the address space; `heap`: the process's heap is in it, too. */
void storm_world_build(struct storm_world *w, const struct storm_options *o, unsigned int index,
		       unsigned int slot, bool heap);
/* After a fork: what was shared with the parent becomes the child's own. The parent stands still.
 */
void storm_world_adopt(struct storm_world *w, unsigned int slot);
/* Everything may be read and written again, and is what the notes say. */
void storm_world_check(struct storm_world *w);
/* Checks and writes some pages; one of the operations now and then; counts. */
void storm_world_step(struct storm_world *w);
/* As many pages as this, anywhere that can be read, are what the notes say. */
void storm_world_glance(struct storm_world *w, unsigned int npages);

uint64_t storm_random(struct storm_world *w);
static inline size_t storm_below(struct storm_world *w, size_t n)
{
	return storm_random(w) % n;
}

/* One page is what its note says; complains, and goes on with what it finds otherwise. */
bool storm_page_check(struct storm_place *p, size_t page);
void storm_page_write(struct storm_world *w, struct storm_place *p, size_t page);
/* The pages [from, to) show again what a fresh mapping shows. */
void storm_pages_reset(struct storm_place *p, size_t from, size_t to);
void storm_place_map(struct storm_place *p); /* at p->at, over whatever is there */
static inline bool storm_is_private(const struct storm_place *p)
{
	return p->kind != STORM_SHARED && p->kind != STORM_MEMFD;
}

/* One of the operations on an address space (storm_race.c). */
void storm_race(struct storm_world *w);
/* One of those that begin or end a thread or a task (storm.c). */
void storm_race_tasks(struct storm_world *w);
