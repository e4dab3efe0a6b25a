/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers and FPU of a thread. remote/ reads them when it freezes the thread and sets them as the
 * last act of a restore (rtask_set_states); what they look like is the architecture's matter
 * (task/arch/).
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"
#include "task/arch/core.h"

static int cpu_check(const struct target *t, struct err *err)
{
	return arch_core_check(t, err);
}

static int cpu_take(struct dthread *d, struct err *err)
{
	return arch_core_dump(d->ts->cpu, d->a, d->th->tid, d->th->saved, d->core, err);
}

static int cpu_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	return arch_core_load(r->rt->priv->ts->cpu, r->rt->priv->ts->a, core, &r->cpu, err);
}

static int cpu_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	return arch_core_able(r->cpu, err);
}

static int cpu_restore(struct rstep *s, struct err *err)
{
	return arch_core_restore(s->r->cpu, s->th->tid, err);
}

const struct task_part cpu_part = {
	.name = "registers",
	.check = cpu_check,
	.take = cpu_take,
	.load = cpu_load,
	.able = cpu_able,
	.restore = cpu_restore,
};
