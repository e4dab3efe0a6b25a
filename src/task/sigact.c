/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal handlers of a process (sighand_struct.action), by rt_sigaction(2) of the process itself,
 * in the kernel's own layout (with sa_restorer). The record holds all signals but SIGKILL and
 * SIGSTOP, in order.
 *
 * SIGCHLD's handler comes last of all: children that end while the tree is being made (helpers,
 * zombies) must neither reach a handler nor be reaped by SA_NOCLDWAIT or SIG_IGN. Setting an
 * action that ignores a signal throws the pending ones away, which takes theirs with it.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <string.h>
#include <sys/syscall.h>

static bool sigact_recorded(int signo)
{
	return signo != SIGKILL && signo != SIGSTOP;
}

static int sigact_ask(struct dthread *d, struct err *err)
{
	raddr_t at = batch_space(d->b, sizeof(struct ksigaction) * (SIG_MAX + 1));

	d->asked.sigacts = at;
	for (uint64_t n = 1; n <= SIG_MAX; n++)
		if (sigact_recorded((int)n))
			batch_must(d->b, batch_call(d->b, SYS_rt_sigaction, n, 0,
						    at.va + n * sizeof(struct ksigaction),
						    KERNEL_SIGSET_LEN));
	return 0;
}

static int sigact_take(struct dthread *d, struct err *err)
{
	const struct ksigaction *acts = batch_data(d->b, d->asked.sigacts);
	size_t n = 0;

	d->tc->sigactions = arena_array_of(d->a, SaEntry *, SIGACT_COUNT);
	for (int signo = 1; signo <= SIG_MAX; signo++) {
		SaEntry *e;

		if (!sigact_recorded(signo))
			continue;
		e = arena_new_of(d->a, SaEntry);
		sa_entry__init(e);
		e->sigaction = acts[signo].handler;
		e->flags = acts[signo].flags;
		e->restorer = acts[signo].restorer;
		e->mask = acts[signo].mask;
		e->has_compat_sigaction = 1; /* false: refused if 32-bit, see cpu.c */
		d->tc->sigactions[n++] = e;
	}
	d->tc->n_sigactions = n;
	return 0;
}

static int sigact_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	struct rtask_priv *p = r->rt->priv;
	size_t n = 0;

	if (core->tc->n_sigactions != SIGACT_COUNT)
		return err_input(err, "%zu signal handlers, expected %d", core->tc->n_sigactions,
				 SIGACT_COUNT);
	for (int signo = 1; signo <= SIG_MAX; signo++) {
		const SaEntry *e;

		if (!sigact_recorded(signo))
			continue;
		e = core->tc->sigactions[n++];
		if (e->has_compat_sigaction && e->compat_sigaction)
			return err_refuse(err, "restore it with CRIU",
					  "signal %d: handler of a 32-bit program", signo);
		p->sigacts[signo] =
			(struct ksigaction){e->sigaction, e->flags, e->restorer, e->mask};
	}
	p->has_sigacts = true;
	return 0;
}

static void sigact_set(struct rstep *s, int signo, const struct ksigaction *act)
{
	raddr_t at = batch_put(s->b, act, sizeof(*act));

	step_call(s, SYS_rt_sigaction, (uint64_t)signo, at.va, 0, KERNEL_SIGSET_LEN);
}

static int sigact_restore(struct rstep *s, struct err *err)
{
	for (int signo = 1; signo <= SIG_MAX; signo++)
		if (sigact_recorded(signo) && signo != SIGCHLD)
			sigact_set(s, signo, &s->p->sigacts[signo]);
	return 0;
}

static int sigact_late(struct rstep *s, struct err *err)
{
	static const struct ksigaction flush = {.handler = 1 /* SIG_IGN */};

	sigact_set(s, SIGCHLD, &flush);
	sigact_set(s, SIGCHLD, &s->p->sigacts[SIGCHLD]);
	return 0;
}

const struct task_part sigact_part = {
	.name = "signal handlers",
	.leader_only = true,
	.ask = sigact_ask,
	.take = sigact_take,
	.load = sigact_load,
	.restore = sigact_restore,
	.late = sigact_late,
};
