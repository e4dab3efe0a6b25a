/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/check_track.h"

#include "base/err.h"
#include "base/log.h"
#include "mem/keeper.h"
#include "mem/track.h"

#include <stdio.h>
#include <string.h>

int check_tracker(void)
{
	return tracker_best() == TRACKER_NONE ? tracker_probe(TRACKER_UFFD_WP) : 0;
}

static void show_tracker(enum tracker_kind kind)
{
	int r = tracker_probe(kind);

	printf("Tracker %s: %s%s%s\n", tracker_name(kind), r < 0 ? "isn't there (" : "works",
	       r < 0 ? strerror(-r) : "", r < 0 ? ")" : "");
}

static void show_keeper(void *ctx, const struct keeper *k)
{
	size_t n = k->trackers.len;

	printf("Keeper %d: holds the %s trackers of %zu process%s of the tree of %d (%s) since "
	       "images %s; to end it: kill %d\n",
	       k->pid, tracker_name(k->kind), n, n == 1 ? "" : "es", k->root, k->root_comm,
	       k->run_id, k->pid);
}

void check_track_show(void)
{
	struct err err = ERR_INIT;
	enum tracker_kind best = tracker_best();

	show_tracker(TRACKER_UFFD_WP);
	show_tracker(TRACKER_SOFT_DIRTY);
	printf("Written pages are tracked by: %s\n",
	       best == TRACKER_NONE ? "none (all dumps are full)" : tracker_name(best));
	if (keeper_each(show_keeper, NULL, &err) < 0)
		log_warn("%s", err.text);
}
