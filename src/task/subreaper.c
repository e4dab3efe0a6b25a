/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child subreaper (signal_struct.is_child_subreaper): orphans below the process become its
 * children. By prctl of the process; setting it marks the descendants that exist already.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int subreaper_ask(struct dthread *d, struct err *err)
{
	d->asked.subreaper = batch_space(d->b, sizeof(int));
	batch_must(d->b,
		   batch_call(d->b, SYS_prctl, PR_GET_CHILD_SUBREAPER, d->asked.subreaper.va));
	return 0;
}

static int subreaper_take(struct dthread *d, struct err *err)
{
	int on;

	memcpy(&on, batch_data(d->b, d->asked.subreaper), sizeof(on));
	d->tc->has_child_subreaper = 1;
	d->tc->child_subreaper = on != 0;
	return 0;
}

static int subreaper_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	r->rt->child_subreaper = core->tc->has_child_subreaper && core->tc->child_subreaper;
	return 0;
}

static int subreaper_restore(struct rstep *s, struct err *err)
{
	/* Not inherited by fork; the engine may have made it one earlier to adopt orphans. */
	step_call(s, SYS_prctl, PR_SET_CHILD_SUBREAPER, s->rt->child_subreaper);
	return 0;
}

const struct task_part subreaper_part = {
	.name = "child subreaper",
	.leader_only = true,
	.ask = subreaper_ask,
	.take = subreaper_take,
	.load = subreaper_load,
	.restore = subreaper_restore,
};
