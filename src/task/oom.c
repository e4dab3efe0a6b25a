/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OOM killer's bias (signal_struct.oom_score_adj), /proc/PID/oom_score_adj. Lowering it below what
 * the process has inherited needs CAP_SYS_RESOURCE, so it is written only where it differs.
 */
#include "task/part.h"

#include "base/io.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"

#include <linux/capability.h>
#include <stdio.h>

#define OOM_MIN (-1000)
#define OOM_MAX 1000

static int oom_read(int proc, int *ret, struct err *err)
{
	auto_free char *text = NULL;
	const char *p;
	int64_t v = 0;
	int r = io_read_file(proc, "oom_score_adj", &text, NULL);

	if (r < 0)
		return err_sys(err, r, "read oom_score_adj");
	p = text;
	if (!scan_i64(&p, 10, &v) || v < OOM_MIN || v > OOM_MAX)
		return err_bug(err, "oom_score_adj reads \"%s\"", text);
	*ret = (int)v;
	return 0;
}

static int oom_take(struct dthread *d, struct err *err)
{
	int adj = 0;

	TRY(oom_read(d->t->proc, &adj, err));
	d->tc->has_oom_score_adj = 1;
	d->tc->oom_score_adj = adj;
	return 0;
}

static int oom_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	struct rtask_priv *p = r->rt->priv;

	p->has_oom = core->tc->has_oom_score_adj;
	p->oom_score_adj = core->tc->oom_score_adj;
	if (p->has_oom && (p->oom_score_adj < OOM_MIN || p->oom_score_adj > OOM_MAX))
		return err_input(err, "oom_score_adj %d, the range is -1000 to 1000",
				 p->oom_score_adj);
	return 0;
}

static int oom_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	const struct rtask_priv *p = r->rt->priv;

	if (!p->has_oom || p->oom_score_adj >= m->oom_score_adj ||
	    (m->creds.eff >> CAP_SYS_RESOURCE & 1))
		return 0;
	(void)err_sys(err, -EPERM, "lower oom_score_adj from %d to %d", m->oom_score_adj,
		      p->oom_score_adj);
	return err_hint(err,
			"give torpor CAP_SYS_RESOURCE, or start it with an oom_score_adj of %d",
			p->oom_score_adj);
}

static int oom_restore(struct rstep *s, struct err *err)
{
	char text[16];
	int now = 0, r;

	if (!s->p->has_oom)
		return 0;
	TRY(oom_read(s->t->proc, &now, err));
	if (now == s->p->oom_score_adj)
		return 0;
	snprintf(text, sizeof(text), "%d", s->p->oom_score_adj);
	r = io_write_file(s->t->proc, "oom_score_adj", text);
	return r < 0 ? err_sys(err, r, "write %s to oom_score_adj", text) : 0;
}

const struct task_part oom_part = {
	.name = "oom score",
	.leader_only = true,
	.take = oom_take,
	.load = oom_load,
	.able = oom_able,
	.restore = oom_restore,
};
