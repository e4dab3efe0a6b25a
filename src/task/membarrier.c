/* SPDX-License-Identifier: Apache-2.0 */
/*
 * membarrier(2) registrations of an address space (mm_struct.membarrier_state), by
 * MEMBARRIER_CMD_GET_REGISTRATIONS (6.3) of the process. On older kernels they can't be seen and
 * are left out of the record; a program that needs them then gets EPERM from membarrier(2).
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMBARRIER_CMD_GET_REGISTRATIONS_NR (1 << 9) /* the system's header may be older */
/* The commands that register: their numbers are bits. */
#define MEMBARRIER_REGISTER_ALL                                                                    \
	((1 << 2) /* GLOBAL_EXPEDITED */ | (1 << 4) /* PRIVATE_EXPEDITED */ |                      \
	 (1 << 6) /* PRIVATE_EXPEDITED_SYNC_CORE */ | (1 << 8) /* PRIVATE_EXPEDITED_RSEQ */)

static int membarrier_ask(struct dthread *d, struct err *err)
{
	d->asked.membarrier =
		batch_call(d->b, SYS_membarrier, MEMBARRIER_CMD_GET_REGISTRATIONS_NR, 0, 0);
	return 0;
}

static int membarrier_take(struct dthread *d, struct err *err)
{
	int64_t mask = batch_ret(d->b, d->asked.membarrier);

	if (mask > 0) {
		d->tc->has_membarrier_registration_mask = 1;
		d->tc->membarrier_registration_mask = (uint32_t)mask;
	}
	return 0;
}

static int membarrier_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const TaskCoreEntry *tc = core->tc;

	if (!tc->has_membarrier_registration_mask)
		return 0;
	if (tc->membarrier_registration_mask & ~(uint32_t)MEMBARRIER_REGISTER_ALL)
		return err_input(err, "unknown membarrier registrations %#x",
				 tc->membarrier_registration_mask);
	r->rt->priv->membarrier = tc->membarrier_registration_mask;
	return 0;
}

static int membarrier_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	uint32_t want = r->rt->priv->membarrier;
	long have;

	if (!want)
		return 0;
	have = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	if (have < 0 || (want & ~(uint32_t)have))
		return err_kernel(err, "membarrier registrations %#x: this kernel knows %#lx", want,
				  have < 0 ? 0 : have);
	return 0;
}

static int membarrier_restore(struct rstep *s, struct err *err)
{
	for (uint32_t bit = 1; bit && bit <= s->p->membarrier; bit <<= 1)
		if (s->p->membarrier & bit)
			step_call(s, SYS_membarrier, bit, 0, 0);
	return 0;
}

const struct task_part membarrier_part = {
	.name = "membarrier",
	.leader_only = true,
	.ask = membarrier_ask,
	.take = membarrier_take,
	.load = membarrier_load,
	.able = membarrier_able,
	.restore = membarrier_restore,
};
