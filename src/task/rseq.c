/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration of restartable sequences (task_struct.rseq), PTRACE_GET_RSEQ_CONFIGURATION (5.13)
 * from outside, rseq(2) by the thread. The area is memory of the program; registering makes the
 * kernel write the cpu number into it, so the memory must be there by then.
 *
 * A thread that was caught inside a critical section has been sent to its abort handler by remote/
 * already, as by any preemption. Images of CRIU may name a section to go on in (one with
 * RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL): its descriptor is written into the area last of all,
 * because the kernel clears that field at registration and whenever it sees the thread elsewhere.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "task/rseq.h"

#include <errno.h>
#include <linux/rseq.h>
#include <stddef.h>
#include <sys/syscall.h>

#define RSEQ_LEN_MIN 32
#define RSEQ_LEN_MAX 4096

/* 1 and the registration; 0: this kernel can't say. */
static int rseq_get(pid_t tid, struct rseq_reg *ret, struct err *err)
{
	struct ptrace_rseq_configuration conf = {0};
	long r = sys_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(conf),
			    (uint64_t)(uintptr_t)&conf);

	if (r == -EIO || r == -EINVAL)
		return 0;
	if (r < 0)
		return err_sys(err, (int)r, "thread %d: PTRACE_GET_RSEQ_CONFIGURATION", tid);
	*ret = (struct rseq_reg){
		.ptr = conf.rseq_abi_pointer, .len = conf.rseq_abi_size, .sig = conf.signature};
	return 1;
}

static int rseq_take(struct dthread *d, struct err *err)
{
	struct rseq_reg reg = {0};
	RseqEntry *e;
	int r = rseq_get(d->th->tid, &reg, err);

	if (r <= 0)
		return r;
	e = arena_new_of(d->a, RseqEntry);
	rseq_entry__init(e);
	e->rseq_abi_pointer = reg.ptr;
	e->rseq_abi_size = reg.len;
	e->signature = reg.sig;
	d->thread->rseq_entry = e;
	return 0;
}

static int rseq_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const RseqEntry *e = core->thread_core->rseq_entry;

	if (!e || !e->rseq_abi_pointer)
		return 0;
	if (e->rseq_abi_size < RSEQ_LEN_MIN || e->rseq_abi_size > RSEQ_LEN_MAX)
		return err_input(err, "rseq area of %u bytes", e->rseq_abi_size);
	r->rseq.ptr = e->rseq_abi_pointer;
	r->rseq.len = e->rseq_abi_size;
	r->rseq.sig = e->signature;
	r->rseq.cs = e->has_rseq_cs_pointer ? e->rseq_cs_pointer : 0;
	return 0;
}

static int rseq_restore(struct rstep *s, struct err *err)
{
	const struct rseq_reg *want = &s->r->rseq;
	struct rseq_reg now = {0};

	/* A forked child has its parent's registration. */
	TRY(rseq_get(s->th->tid, &now, err));
	if (now.ptr == want->ptr && now.len == want->len && now.sig == want->sig)
		return 0;
	if (now.ptr)
		step_call(s, SYS_rseq, now.ptr, now.len, RSEQ_FLAG_UNREGISTER, now.sig);
	if (want->ptr)
		step_call(s, SYS_rseq, want->ptr, want->len, 0, want->sig);
	return 0;
}

int rseq_finish(struct target *t, const struct rthread *r, struct err *err)
{
	if (!r->rseq.cs)
		return 0;
	return target_poke(t, raddr(r->rseq.ptr + offsetof(struct rseq, rseq_cs)), &r->rseq.cs,
			   sizeof(r->rseq.cs), err);
}

const struct task_part rseq_part = {
	.name = "rseq",
	.take = rseq_take,
	.load = rseq_load,
	.restore = rseq_restore,
};
