/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling of a thread: nice value, policy with SCHED_RESET_ON_FORK, real-time priority. Asked
 * and set from outside by thread id. Deadline parameters have no place in the image: refused.
 * Slices (6.12), utilization clamps, affinity and autogroups aren't recorded either.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"
#include "kernel/proc.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLICY(p)	((p) & ~SCHED_RESET_ON_FORK)
#define POLICY_DEADLINE 6
#define POLICY_EXT	7
#define POLICY_IS_RT(p) (POLICY(p) == SCHED_FIFO || POLICY(p) == SCHED_RR)

static int sched_get(pid_t tid, struct sched *ret)
{
	struct sched_param param = {0};
	long r;

	/* The raw call answers 20 - nice, so that it is never negative. */
	r = syscall(SYS_getpriority, PRIO_PROCESS, tid);
	if (r < 0)
		return -errno;
	ret->nice = 20 - (int)r;
	r = syscall(SYS_sched_getscheduler, tid);
	if (r < 0)
		return -errno;
	ret->policy = (int)r;
	ret->prio = 0;
	if (POLICY_IS_RT(ret->policy)) {
		if (sched_getparam(tid, &param))
			return -errno;
		ret->prio = param.sched_priority;
	}
	ret->set = true;
	return 0;
}

static int sched_refuse(pid_t tid, const struct sched *s, struct err *err)
{
	if (POLICY(s->policy) == POLICY_DEADLINE)
		return err_refuse(err, "give it another policy before the dump (chrt)",
				  "thread %d: scheduled by deadline, which an image can't hold",
				  tid);
	return 0;
}

static int sched_check(const struct target *t, struct err *err)
{
	auto_ids struct proc_ids tids = {0};
	int r = proc_list_dir(t->proc, "task", &tids);

	if (r < 0)
		return proc_is_gone(r) ? 0 : err_sys(err, r, "list /proc/%d/task", t->pid);
	vec_foreach (tid, &tids) {
		struct sched s;

		if (sched_get(*tid, &s) == 0)
			TRY(sched_refuse(*tid, &s, err));
	}
	return 0;
}

static int sched_take(struct dthread *d, struct err *err)
{
	struct sched s;
	int r = sched_get(d->th->tid, &s);

	if (r < 0)
		return err_sys(err, r, "thread %d: read scheduling", d->th->tid);
	TRY(sched_refuse(d->th->tid, &s, err));
	d->thread->has_sched_nice = 1;
	d->thread->sched_nice = s.nice;
	d->thread->has_sched_policy = 1;
	d->thread->sched_policy = (uint32_t)s.policy;
	if (POLICY_IS_RT(s.policy)) {
		d->thread->has_sched_prio = 1;
		d->thread->sched_prio = (uint32_t)s.prio;
	}
	return 0;
}

static int sched_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const ThreadCoreEntry *t = core->thread_core;
	struct sched *s = &r->sched;

	if (!t->has_sched_nice)
		return 0;
	s->set = true;
	s->nice = t->sched_nice;
	s->policy = t->has_sched_policy ? (int)t->sched_policy : SCHED_OTHER;
	s->prio = t->has_sched_prio ? (int)t->sched_prio : 0;
	if (s->nice < -20 || s->nice > 19)
		return err_input(err, "nice value %d, the range is -20 to 19", s->nice);
	if (POLICY(s->policy) < 0 || POLICY(s->policy) > POLICY_EXT ||
	    POLICY(s->policy) == 4 /* ISO, never implemented */ ||
	    POLICY(s->policy) == POLICY_DEADLINE)
		return err_input(err, "scheduling policy %#x", (unsigned int)s->policy);
	if (POLICY_IS_RT(s->policy) ? s->prio < 1 || s->prio > 99 : s->prio != 0)
		return err_input(err, "scheduling priority %d for policy %d", s->prio,
				 POLICY(s->policy));
	return 0;
}

static int sched_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	const struct sched *s = &r->sched;

	if (!s->set || (m->creds.eff >> CAP_SYS_NICE & 1))
		return 0;
	if (s->nice < m->nice && (uint64_t)(20 - s->nice) > m->rlim[RLIMIT_NICE].cur) {
		(void)err_sys(err, -EPERM, "thread %u: set nice value %d (now %d)", r->vtid,
			      s->nice, m->nice);
		return err_hint(err, "give torpor CAP_SYS_NICE");
	}
	if ((uint64_t)s->prio > m->rlim[RLIMIT_RTPRIO].cur) {
		(void)err_sys(err, -EPERM, "thread %u: set real-time priority %d", r->vtid,
			      s->prio);
		return err_hint(err, "give torpor CAP_SYS_NICE");
	}
	return 0;
}

static int sched_restore(struct rstep *s, struct err *err)
{
	const struct sched *want = &s->r->sched;
	struct sched_param param = {.sched_priority = want->prio};
	pid_t tid = s->th->tid;
	struct sched now;
	int r = sched_get(tid, &now);

	if (r < 0)
		return err_sys(err, r, "thread %d: read scheduling", tid);
	if (!want->set)
		return 0;
	if (now.nice != want->nice && setpriority(PRIO_PROCESS, (id_t)tid, want->nice))
		return err_sys(err, -errno, "thread %d: set nice value %d", tid, want->nice);
	if (now.policy == want->policy && now.prio == want->prio)
		return 0;
	if (sched_setscheduler(tid, want->policy, &param))
		return err_sys(err, -errno, "thread %d: set scheduling policy %#x, priority %d",
			       tid, (unsigned int)want->policy, want->prio);
	return 0;
}

const struct task_part sched_part = {
	.name = "scheduling",
	.check = sched_check,
	.take = sched_take,
	.load = sched_load,
	.able = sched_able,
	.restore = sched_restore,
};
