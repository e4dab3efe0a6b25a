/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parent death signal of a thread (task_struct.pdeath_signal), by prctl of the thread. Every
 * change of ids clears it, so it is set after the credentials. The parent thread that it watches
 * is the one that cloned the task: the restored parent's leader; for the root of a tree it would be
 * torpor, whose end mustn't count (build_opts.orphan_root).
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int pdeath_ask(struct dthread *d, struct err *err)
{
	d->asked.pdeath = batch_space(d->b, sizeof(int));
	batch_must(d->b, batch_call(d->b, SYS_prctl, PR_GET_PDEATHSIG, d->asked.pdeath.va));
	return 0;
}

static int pdeath_take(struct dthread *d, struct err *err)
{
	int sig;

	memcpy(&sig, batch_data(d->b, d->asked.pdeath), sizeof(sig));
	if (sig) {
		d->thread->has_pdeath_sig = 1;
		d->thread->pdeath_sig = (uint32_t)sig;
	}
	return 0;
}

static int pdeath_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	if (!core->thread_core->has_pdeath_sig)
		return 0;
	if (core->thread_core->pdeath_sig > SIG_MAX)
		return err_input(err, "parent death signal %u, there are %d",
				 core->thread_core->pdeath_sig, SIG_MAX);
	r->pdeath_sig = (int)core->thread_core->pdeath_sig;
	r->rt->parent_death |= r->pdeath_sig != 0;
	return 0;
}

static int pdeath_late(struct rstep *s, struct err *err)
{
	if (s->r->pdeath_sig)
		step_call(s, SYS_prctl, PR_SET_PDEATHSIG, (uint64_t)s->r->pdeath_sig);
	return 0;
}

const struct task_part pdeath_part = {
	.name = "parent death signal",
	.ask = pdeath_ask,
	.take = pdeath_take,
	.load = pdeath_load,
	.late = pdeath_late,
};
