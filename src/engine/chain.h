/* SPDX-License-Identifier: Apache-2.0 */
/* What a dump builds on (earlier images, trackers), and what it leaves for the next one. */
#pragma once

#include "engine/options.h"
#include "image/inventory.h"
#include "image/store.h"
#include "mem/keeper.h"

struct chain {
	const struct options *o;
	const struct img_dir *dir;
	struct img_dir parent_dir;
	struct page_store *parent; /* complete earlier images; NULL: there are none */
	/*
	 * The trackers know what was written since the parent: what they call unwritten is left to
	 * it. (Shared objects are compared with it in any case.)
	 */
	bool incremental;
	enum tracker_kind kind; /* of all trackers; TRACKER_NONE: there are none */
	struct keeper keeper;	/* the trackers, old and new */
	struct inventory_chain self;
};

/* Which tracker is to be used, by --tracker. ERR_KERNEL if the one that was asked for doesn't work.
 */
MUST_USE int chain_choose_tracker(const struct options *o, enum tracker_kind *ret, struct err *err);

/*
 * Makes the link to --prev-images-dir, opens what it leads to, and takes over the trackers of the
 * tree: from here on no keeper runs. A parent that can't be built on is a warning.
 */
MUST_USE int chain_begin(struct chain *c, const struct options *o, const struct img_dir *dir,
			 enum tracker_kind kind, struct err *err);
/* What unwritten pages are left to, or NULL. */
struct page_store *chain_memory_parent(const struct chain *c);
struct tracker *chain_tracker(const struct chain *c, const struct target *t);
void chain_add_tracker(struct chain *c, struct tracker *tr);
/* These tasks are the tree: trackers of others aren't kept. */
void chain_select(struct chain *c, struct target **targets, size_t n);
/* The images are complete: a keeper holds the trackers from here on. A failure is a warning. */
void chain_keep(struct chain *c);
/* Nothing has been done with the trackers: things are as they were before chain_begin(). */
void chain_put_back(struct chain *c);
void chain_done(struct chain *c);
