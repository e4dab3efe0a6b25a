/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource limits of a process (signal_struct.rlim), by prlimit64(2) of the process itself: for a
 * process with other ids than torpor's it would need CAP_SYS_RESOURCE. Raising a hard limit above
 * what torpor has itself needs that capability in any case.
 *
 * RLIMIT_SIGPENDING comes last of all: queueing the pending signals and creating the timers counts
 * against it, and it may have been lowered below what was in use.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>

static const char *const names[RLIM_NLIMITS] = {
	"RLIMIT_CPU",	   "RLIMIT_FSIZE", "RLIMIT_DATA",   "RLIMIT_STACK",
	"RLIMIT_CORE",	   "RLIMIT_RSS",   "RLIMIT_NPROC",  "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK",  "RLIMIT_AS",	   "RLIMIT_LOCKS",  "RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE", "RLIMIT_NICE",  "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
};

static int rlimit_ask(struct dthread *d, struct err *err)
{
	raddr_t at = batch_space(d->b, sizeof(struct rlim) * RLIM_NLIMITS);

	d->asked.rlimits = at;
	for (uint64_t i = 0; i < RLIM_NLIMITS; i++)
		batch_must(d->b, batch_call(d->b, SYS_prlimit64, 0, i, 0,
					    at.va + i * sizeof(struct rlim)));
	return 0;
}

static int rlimit_take(struct dthread *d, struct err *err)
{
	const struct rlim *lim = batch_data(d->b, d->asked.rlimits);
	TaskRlimitsEntry *e = arena_new_of(d->a, TaskRlimitsEntry);

	task_rlimits_entry__init(e);
	e->n_rlimits = RLIM_NLIMITS;
	e->rlimits = arena_array_of(d->a, RlimitEntry *, RLIM_NLIMITS);
	for (size_t i = 0; i < RLIM_NLIMITS; i++) {
		e->rlimits[i] = arena_new_of(d->a, RlimitEntry);
		rlimit_entry__init(e->rlimits[i]);
		e->rlimits[i]->cur = lim[i].cur;
		e->rlimits[i]->max = lim[i].max;
	}
	d->tc->rlimits = e;
	return 0;
}

static int rlimit_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const TaskRlimitsEntry *e = core->tc->rlimits;
	struct rtask_priv *p = r->rt->priv;

	if (!e)
		return 0;
	if (e->n_rlimits > RLIM_NLIMITS)
		return err_input(err, "%zu resource limits, this kernel has %d", e->n_rlimits,
				 RLIM_NLIMITS);
	for (size_t i = 0; i < e->n_rlimits; i++) {
		p->rlimits[i] = (struct rlim){e->rlimits[i]->cur, e->rlimits[i]->max};
		if (p->rlimits[i].cur > p->rlimits[i].max)
			return err_input(err, "%s: soft limit above the hard one", names[i]);
	}
	p->nrlimits = e->n_rlimits;
	return 0;
}

static int rlimit_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	const struct rtask_priv *p = r->rt->priv;

	if (p->nrlimits > RLIMIT_NOFILE && p->rlimits[RLIMIT_NOFILE].max > m->nr_open) {
		(void)err_sys(err, -EPERM, "RLIMIT_NOFILE: %llu is above this machine's %llu",
			      (unsigned long long)p->rlimits[RLIMIT_NOFILE].max,
			      (unsigned long long)m->nr_open);
		return err_hint(err, "raise fs.nr_open (sysctl)");
	}
	if (m->creds.eff >> CAP_SYS_RESOURCE & 1)
		return 0;
	for (size_t i = 0; i < p->nrlimits; i++) {
		if (p->rlimits[i].max <= m->rlim[i].max)
			continue;
		(void)err_sys(err, -EPERM, "%s: raise the hard limit from %llu to %llu", names[i],
			      (unsigned long long)m->rlim[i].max,
			      (unsigned long long)p->rlimits[i].max);
		return err_hint(err, "give torpor CAP_SYS_RESOURCE, or start it with that limit");
	}
	return 0;
}

static void rlimit_set(struct rstep *s, uint64_t which, const struct rlim *lim)
{
	raddr_t at = batch_put(s->b, lim, sizeof(*lim));

	step_call(s, SYS_prlimit64, 0, which, at.va, 0);
}

static int rlimit_restore(struct rstep *s, struct err *err)
{
	for (size_t i = 0; i < s->p->nrlimits; i++) {
		struct rlim lim = s->p->rlimits[i];

		if (i == RLIMIT_SIGPENDING) {
			uint64_t own = s->p->ts->m.rlim[i].max;

			/* As high as it goes, while we may; rlimit_late sets the real one. */
			lim.max = MAX(lim.max, own);
			lim.cur = lim.max;
		}
		rlimit_set(s, i, &lim);
	}
	return 0;
}

static int rlimit_late(struct rstep *s, struct err *err)
{
	if (s->p->nrlimits > RLIMIT_SIGPENDING)
		rlimit_set(s, RLIMIT_SIGPENDING, &s->p->rlimits[RLIMIT_SIGPENDING]);
	return 0;
}

const struct task_part rlimit_part = {
	.name = "resource limits",
	.leader_only = true,
	.ask = rlimit_ask,
	.take = rlimit_take,
	.load = rlimit_load,
	.able = rlimit_able,
	.restore = rlimit_restore,
	.late = rlimit_late,
};
