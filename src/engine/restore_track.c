/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --track-mem on restore: the next dump builds on the images that this restore reads.
 *
 * A page counts as unwritten then, if it is what the images have. So trackers are armed when the
 * last page has been put in its place, and before anything else is done to the tasks: whatever is
 * written from there on, by us, by the kernel or by the program, is seen. Should the restore fail,
 * trackers go with everything else; the keeper starts when the tree runs.
 */
#include "engine/restore.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/parse.h"
#include "engine/chain.h"
#include "mem/pagescan.h"

#include <string.h>

/* Runs of mappings that the tracker has; what is found in them is unwritten from now on. */
static int protect(struct target *t, const struct tracker *tr, const struct rmem *m,
		   const uint8_t *states, struct err *err)
{
	const enum pagescan_mode mode = tracker_scan_mode(tr->kind, /* protect= */ true);
	const struct vma *vmas = m->vmas.data;

	for (size_t i = 0, end; i < m->nreal; i = end) {
		struct pagescan_region region;
		struct pagescan scan;
		int r;

		for (end = i + 1; end < m->nreal && !states[end] == !states[i];)
			end++;
		if (!states[i])
			continue;
		TRY(pagescan_init(&scan, t, PAGESCAN_DATA, mode, &vmas[i], end - i, err));
		do
			r = pagescan_next(&scan, &region, err);
		while (r > 0);
		pagescan_done(&scan);
		TRY(r);
	}
	return 0;
}

static int arm(struct target *t, struct tracker *tr, const struct rmem *m, struct err *err)
{
	auto_free uint8_t *states = xcalloc(m->nreal, sizeof(*states));

	TRY(tracker_arm(tr, m->vmas.data, m->nreal, states, err));
	if (tr->kind == TRACKER_SOFT_DIRTY)
		return tracker_restart(tr, err);
	return protect(t, tr, m, states, err);
}

static int track(struct restore *r, const struct restore_task *t, struct err *err)
{
	struct tracker *tr;

	TRY(tracker_attach(t->target, r->keeper.kind, &tr, err));
	if (arm(t->target, tr, t->mem, err) < 0) {
		tracker_free(tr);
		return err->code;
	}
	tr->is_new = false;
	*vec_push(&r->keeper.trackers) = tr;
	return 0;
}

int restore_track_check(struct restore *r, struct err *err)
{
	struct inventory_chain chain;

	if (!r->o->track_mem)
		return 0;
	if (r->o->auto_dedup)
		return err_refuse(err, "leave one of the two out",
				  "--track-mem needs the pages that --auto-dedup gives back: the "
				  "next dump would build on them");
	TRY(chain_choose_tracker(r->o, &r->keeper.kind, err));
	TRY(inventory_read_chain(r->dir, &chain, err));
	if (!r->keeper.kind)
		log_warn("this kernel has no tracker: the next dump will be a full one");
	else if (!chain.run_id[0])
		log_warn("these images don't say which run made them, so that nothing can build "
			 "on them: the next dump will be a full one");
	if (!chain.run_id[0])
		r->keeper.kind = TRACKER_NONE;
	memcpy(r->keeper.run_id, chain.run_id, sizeof(r->keeper.run_id));
	return 0;
}

void restore_track(struct restore *r)
{
	for (size_t i = 0; r->keeper.kind && i < r->plan.ntasks; i++) {
		struct restore_task *t = &r->tasks[i];
		struct err err = ERR_INIT;

		if (t->mem && track(r, t, &err) < 0)
			log_warn("pid %d: won't be tracked, the next dump writes all of it: %s",
				 t->target->pid, err.text);
	}
}

void restore_keep(struct restore *r, pid_t root)
{
	struct keeper *k = &r->keeper;
	struct err err = ERR_INIT;

	if (!k->trackers.len)
		return;
	k->root = root;
	str_copy(k->root_comm, sizeof(k->root_comm), r->tasks[0].props->comm);
	if (keeper_start(k, &err) < 0)
		log_warn("the next dump will be a full one: %s", err.text);
	else
		log_info("keeper %d: %zu processes, by %s, since run %s", k->pid, k->trackers.len,
			 tracker_name(k->kind), k->run_id);
}
