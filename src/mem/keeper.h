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
	int pidfd; /* of it, if pid isn't 0 */
	pid_t root;
	char root_comm[16];
	enum tracker_kind kind;
	char run_id[37]; /* of the images that the trackers go with */
	VEC(struct tracker *) trackers;
};

/*
 * 1 and the keeper that tracks `root` (as the root of its tree or as one of its tasks), its
 * descriptors being ours now as well; 0: there is none. What it says of tasks that are dead, or
 * whose pids others have now, is left out; keepers that are older than the one found are ended.
 */
MUST_USE int keeper_find(pid_t root, struct keeper *ret, struct err *err);
/* Ends the process, and waits for its end. The trackers stay. Nothing to do if k->pid is 0. */
void keeper_end(struct keeper *k);
/*
 * A new process for k's trackers (those of dead tasks are left out; if none is left, k->pid stays
 * 0). Its pid is in k->pid then. root, root_comm, kind and run_id have been filled in.
 */
MUST_USE int keeper_start(struct keeper *k, struct err *err);
void keeper_done(struct keeper *k); /* frees the trackers, not the process */
/*
 * The tracker of this task, or NULL: it has none yet, its pid is that of another process by now, or
 * it has called execve() since.
 */
struct tracker *keeper_tracker(const struct keeper *k, const struct target *t);

/*
 * Calls fn for every keeper on this machine that we may look into, for `torpor check`. Their
 * trackers are for show: no descriptor of theirs is ours.
 */
MUST_USE int keeper_each(void (*fn)(void *ctx, const struct keeper *k), void *ctx, struct err *err);
