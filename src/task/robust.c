/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List of robust futexes (task_struct.robust_list): the kernel releases its locks when the thread
 * dies. get_robust_list(2) answers from outside, set_robust_list(2) is the thread's own call. The
 * list itself is memory of the program.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROBUST_HEAD_LEN 24 /* sizeof(struct robust_list_head) */

static int robust_take(struct dthread *d, struct err *err)
{
	uint64_t head = 0;
	size_t len = 0;

	if (syscall(SYS_get_robust_list, d->th->tid, &head, &len) && errno != ENOSYS)
		return err_sys(err, -errno, "thread %d: get_robust_list", d->th->tid);
	d->thread->futex_rla = head;
	d->thread->futex_rla_len = (uint32_t)len;
	return 0;
}

static int robust_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const ThreadCoreEntry *t = core->thread_core;

	if (t->futex_rla_len && t->futex_rla_len != ROBUST_HEAD_LEN)
		return err_input(err, "robust list head of %u bytes, this architecture's has %d",
				 t->futex_rla_len, ROBUST_HEAD_LEN);
	r->robust = t->futex_rla;
	r->robust_len = t->futex_rla_len;
	return 0;
}

static int robust_restore(struct rstep *s, struct err *err)
{
	/* A process made by fork has none: nothing to do for "none". */
	if (s->r->robust_len && s->r->robust)
		step_call(s, SYS_set_robust_list, s->r->robust, s->r->robust_len);
	return 0;
}

const struct task_part robust_part = {
	.name = "robust list",
	.take = robust_take,
	.load = robust_load,
	.restore = robust_restore,
};
