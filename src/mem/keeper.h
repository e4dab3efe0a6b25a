/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps trackers between two commands: a small process of torpor's own ("torpor-keeper"),
 * which holds the descriptors, so that the program carries none, and a note of which images they
 * go with. It ends when the last program that it tracks has, on SIGTERM, or when the next command
 * takes its place.
 *
 * A keeper says: all that was written since the images RUN_ID is known. So a command takes the
 * keeper's descriptors and ends it before it touches a tracker, and starts a new one when its own
 * images are complete; whatever fails in between leaves no keeper, and the next dump is a full one.
 */
#pragma once

#include "base/vec.h"
#include "mem/track.h"

struct keeper {
	pid_t pid; /* of the keeper; 0: none is running */
	pid_t root;
	char root_comm[16];
	enum tracker_kind kind;
	char run_id[37]; /* of the images that the trackers go with */
	VEC(struct tracker *) trackers;
};

/* 1 and the keeper that tracks `root`, its descriptors being ours now as well; 0: there is none. */
MUST_USE int keeper_find(pid_t root, struct keeper *ret, struct err *err);
/* Ends the process, and waits for its end. The trackers stay. */
void keeper_end(struct keeper *k);
/* A new process for k's trackers (those of dead tasks are left out). Its pid is in k->pid then. */
MUST_USE int keeper_start(struct keeper *k, struct err *err);
void keeper_done(struct keeper *k); /* frees the trackers, not the process */
/* The tracker of this task, or NULL. */
struct tracker *keeper_tracker(const struct keeper *k, const struct target *t);

/* Calls fn for every keeper on this machine that we may look into; for `torpor check`. */
MUST_USE int keeper_each(void (*fn)(void *ctx, const struct keeper *k), void *ctx, struct err *err);
