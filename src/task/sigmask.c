/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocked signals of a thread. remote/ read them when it froze the thread (PTRACE_GETSIGMASK,
 * which knows about the mask that sigsuspend and ppoll put aside) and sets them when it lets go.
 * The leader's stand in the process's record, other threads' in their own.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

static int sigmask_take(struct dthread *d, struct err *err)
{
	if (d->leader) {
		d->tc->blk_sigset = d->th->sigmask;
		return 0;
	}
	d->thread->has_blk_sigset = 1;
	d->thread->blk_sigset = d->th->sigmask;
	return 0;
}

static int sigmask_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	if (core->thread_core->has_blk_sigset)
		r->sigmask = core->thread_core->blk_sigset;
	else if (core->tc)
		r->sigmask = core->tc->blk_sigset;
	return 0;
}

const struct task_part sigmask_part = {
	.name = "signal mask",
	.take = sigmask_take,
	.load = sigmask_load,
};
