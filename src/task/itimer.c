/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interval timers of a process: ITIMER_REAL, _VIRTUAL, _PROF, by getitimer(2) and setitimer(2) of
 * the process. Recorded is what is left; it is armed again as late as possible.
 *
 * A remaining time of 0 with an interval means "about to expire": it is armed with the interval,
 * because 0 would disarm it. (The kernel itself rounds such a time up to a microsecond.)
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <sys/syscall.h>

static const char *const names[3] = {"ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"};

static int itimer_ask(struct dthread *d, struct err *err)
{
	raddr_t at = batch_space(d->b, 3 * sizeof(struct itimerval));

	d->asked.itimers = at;
	for (uint64_t i = 0; i < 3; i++)
		batch_must(d->b, batch_call(d->b, SYS_getitimer, i,
					    at.va + i * sizeof(struct itimerval)));
	return 0;
}

static ItimerEntry *itimer_entry(struct arena *a, const struct itimerval *v)
{
	ItimerEntry *e = arena_new_of(a, ItimerEntry);

	itimer_entry__init(e);
	e->isec = (uint64_t)v->it_interval.tv_sec;
	e->iusec = (uint64_t)v->it_interval.tv_usec;
	e->vsec = (uint64_t)v->it_value.tv_sec;
	e->vusec = (uint64_t)v->it_value.tv_usec;
	return e;
}

static int itimer_take(struct dthread *d, struct err *err)
{
	const struct itimerval *v = batch_data(d->b, d->asked.itimers);

	if (!d->tc->timers) {
		d->tc->timers = arena_new_of(d->a, TaskTimersEntry);
		task_timers_entry__init(d->tc->timers);
	}
	asked_expiry(&d->asked, v[ITIMER_REAL].it_value.tv_sec,
		     v[ITIMER_REAL].it_value.tv_usec * 1000);
	d->tc->timers->real = itimer_entry(d->a, &v[ITIMER_REAL]);
	d->tc->timers->virt = itimer_entry(d->a, &v[ITIMER_VIRTUAL]);
	d->tc->timers->prof = itimer_entry(d->a, &v[ITIMER_PROF]);
	return 0;
}

static int itimer_load_one(const ItimerEntry *e, int which, struct itimerval *ret, struct err *err)
{
	if (e->isec > INT64_MAX || e->vsec > INT64_MAX || e->iusec >= 1000000 ||
	    e->vusec >= 1000000)
		return err_input(err, "%s: time out of range", names[which]);
	ret->it_interval.tv_sec = (time_t)e->isec;
	ret->it_interval.tv_usec = (suseconds_t)e->iusec;
	ret->it_value.tv_sec = (time_t)e->vsec;
	ret->it_value.tv_usec = (suseconds_t)e->vusec;
	if (!e->vsec && !e->vusec)
		ret->it_value = ret->it_interval;
	return 0;
}

static int itimer_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const TaskTimersEntry *t = core->tc->timers;
	struct itimerval *v = r->rt->priv->itimers;

	if (!t)
		return 0;
	TRY(itimer_load_one(t->real, ITIMER_REAL, &v[ITIMER_REAL], err));
	TRY(itimer_load_one(t->virt, ITIMER_VIRTUAL, &v[ITIMER_VIRTUAL], err));
	return itimer_load_one(t->prof, ITIMER_PROF, &v[ITIMER_PROF], err);
}

static int itimer_late(struct rstep *s, struct err *err)
{
	for (uint64_t i = 0; i < 3; i++) {
		const struct itimerval *v = &s->p->itimers[i];
		raddr_t at;

		if (!v->it_value.tv_sec && !v->it_value.tv_usec)
			continue; /* a new process has none armed */
		at = batch_put(s->b, v, sizeof(*v));
		step_call(s, SYS_setitimer, i, at.va, 0);
	}
	return 0;
}

const struct task_part itimer_part = {
	.name = "interval timers",
	.leader_only = true,
	.ask = itimer_ask,
	.take = itimer_take,
	.load = itimer_load,
	.late = itimer_late,
};
