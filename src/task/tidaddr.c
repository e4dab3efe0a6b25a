/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel writes 0 and wakes a futex when the thread ends (task_struct.clear_child_tid):
 * pthread_join() waits there. Only the thread itself can ask (PR_GET_TID_ADDRESS, a kernel with
 * CONFIG_CHECKPOINT_RESTORE) and set it (set_tid_address).
 */
#include "task/part.h"

#include "task/arch/core.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int tidaddr_ask(struct dthread *d, struct err *err)
{
	d->asked.tid_addr = batch_space(d->b, sizeof(uint64_t));
	batch_must(d->b, batch_call(d->b, SYS_prctl, PR_GET_TID_ADDRESS, d->asked.tid_addr.va));
	return 0;
}

static int tidaddr_take(struct dthread *d, struct err *err)
{
	uint64_t addr;

	memcpy(&addr, batch_data(d->b, d->asked.tid_addr), sizeof(addr));
	arch_core_put_tid_addr(d->core, addr);
	return 0;
}

static int tidaddr_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	r->clear_tid_addr = arch_core_get_tid_addr(core);
	return 0;
}

static int tidaddr_restore(struct rstep *s, struct err *err)
{
	step_call(s, SYS_set_tid_address, s->r->clear_tid_addr);
	return 0;
}

const struct task_part tidaddr_part = {
	.name = "tid address",
	.ask = tidaddr_ask,
	.take = tidaddr_take,
	.load = tidaddr_load,
	.restore = tidaddr_restore,
};
