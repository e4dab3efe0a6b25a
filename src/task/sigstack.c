/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alternate signal stack (task_struct.sas_ss_*). Only the thread itself can ask and set it.
 *
 * SS_ONSTACK in the answer is computed from the stack pointer, which is the agent's here: whether
 * the thread is on it follows from its registers and is no state. SS_AUTODISARM is.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <string.h>
#include <sys/syscall.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static int sigstack_ask(struct dthread *d, struct err *err)
{
	d->asked.sas = batch_space(d->b, sizeof(stack_t));
	batch_must(d->b, batch_call(d->b, SYS_sigaltstack, 0, d->asked.sas.va));
	return 0;
}

static int sigstack_take(struct dthread *d, struct err *err)
{
	ThreadSasEntry *sas = arena_new_of(d->a, ThreadSasEntry);
	stack_t ss;

	memcpy(&ss, batch_data(d->b, d->asked.sas), sizeof(ss));
	thread_sas_entry__init(sas);
	sas->ss_sp = (uint64_t)(uintptr_t)ss.ss_sp;
	sas->ss_size = ss.ss_size;
	sas->ss_flags = (uint32_t)ss.ss_flags & ~(uint32_t)SS_ONSTACK;
	d->thread->sas = sas;
	return 0;
}

static int sigstack_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const ThreadSasEntry *sas = core->thread_core->sas;

	if (!sas)
		return 0;
	if (sas->ss_flags & ~(SS_AUTODISARM | SS_DISABLE | SS_ONSTACK))
		return err_input(err, "signal stack with unknown flags %#x", sas->ss_flags);
	r->has_sas = true;
	r->sas.ss_sp = (void *)(uintptr_t)sas->ss_sp;
	r->sas.ss_size = sas->ss_size;
	r->sas.ss_flags = (int)(sas->ss_flags & ~(uint32_t)SS_ONSTACK);
	return 0;
}

static int sigstack_restore(struct rstep *s, struct err *err)
{
	raddr_t ss;

	/* New threads have none; a forked child has its parent's, so that "none" is set too. */
	if (!s->r->has_sas)
		return 0;
	ss = batch_put(s->b, &s->r->sas, sizeof(s->r->sas));
	step_call(s, SYS_sigaltstack, ss.va, 0);
	return 0;
}

const struct task_part sigstack_part = {
	.name = "signal stack",
	.ask = sigstack_ask,
	.take = sigstack_take,
	.load = sigstack_load,
	.restore = sigstack_restore,
};
