/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name of a thread (task_struct.comm): up to 15 bytes of any value but 0.
 *
 * Asked with PR_GET_NAME, because "Name:" in /proc/PID/status is escaped; set with PR_SET_NAME,
 * because /proc/PID/task/TID/comm takes writes from the process's own threads only. The leader's
 * stands twice in its record.
 */
#include "task/part.h"

#include "base/parse.h"
#include "image/schema/core.pb-c.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int comm_ask(struct dthread *d, struct err *err)
{
	d->asked.comm = batch_space(d->b, 16);
	batch_must(d->b, batch_call(d->b, SYS_prctl, PR_GET_NAME, d->asked.comm.va));
	return 0;
}

static int comm_take(struct dthread *d, struct err *err)
{
	char comm[16];

	memcpy(comm, batch_data(d->b, d->asked.comm), sizeof(comm));
	comm[sizeof(comm) - 1] = '\0';
	d->thread->comm = arena_str(d->a, comm);
	if (d->tc)
		d->tc->comm = d->thread->comm;
	return 0;
}

static int comm_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const char *comm = core->thread_core->comm;

	if (!comm)
		comm = core->tc ? core->tc->comm : r->rt->comm;
	if (strlen(comm) >= sizeof(r->comm))
		return err_input(err, "name of %zu bytes, a thread's has up to 15", strlen(comm));
	str_copy(r->comm, sizeof(r->comm), comm);
	return 0;
}

static int comm_restore(struct rstep *s, struct err *err)
{
	raddr_t name = batch_put(s->b, s->r->comm, sizeof(s->r->comm));

	step_call(s, SYS_prctl, PR_SET_NAME, name.va);
	return 0;
}

const struct task_part comm_part = {
	.name = "comm",
	.ask = comm_ask,
	.take = comm_take,
	.load = comm_load,
	.restore = comm_restore,
};
