/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit login uid (task_struct.loginuid), /proc/PID/loginuid; absent without CONFIG_AUDIT. A
 * thread may write its own only (the kernel compares the writer with the owner), and threads have
 * copies that they inherited: the record has one, all threads get it.
 */
#include "task/part.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* -ENOENT: this kernel has none. */
static int loginuid_read(int proc, uint32_t *ret)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t v;
	int r = io_read_file(proc, "loginuid", &text, NULL);

	if (r < 0)
		return r;
	p = text;
	if (!scan_u64(&p, 10, &v) || v > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int loginuid_take(struct dthread *d, struct err *err)
{
	uint32_t uid;
	int r;

	if (!d->leader)
		return 0;
	r = loginuid_read(d->t->proc, &uid);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(err, r, "read loginuid");
	d->tc->has_loginuid = 1;
	d->tc->loginuid = uid;
	return 0;
}

static int loginuid_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	if (!core->tc)
		return 0;
	r->rt->priv->has_loginuid = core->tc->has_loginuid;
	r->rt->priv->loginuid = core->tc->loginuid;
	return 0;
}

static int loginuid_restore(struct rstep *s, struct err *err)
{
	uint32_t now = UINT32_MAX;
	raddr_t path, text;
	size_t fd, wr;
	char uid[16];
	int r;

	if (!s->p->has_loginuid)
		return 0;
	/* Threads are copies of the leader, whose loginuid was torpor's. */
	r = loginuid_read(s->t->proc, &now);
	if (s->r->leader && r == -ENOENT && s->p->loginuid != UINT32_MAX)
		log_warn("pid %u (%s): loginuid %u is lost, this kernel has no audit", s->rt->vpid,
			 s->rt->comm, s->p->loginuid);
	if (r == -ENOENT || (s->r->leader ? now : s->p->ts->m.loginuid) == s->p->loginuid)
		return 0;
	if (r < 0)
		return err_sys(err, r, "read loginuid");
	snprintf(uid, sizeof(uid), "%u", s->p->loginuid);
	path = batch_str(s->b, "/proc/thread-self/loginuid");
	text = batch_str(s->b, uid);
	fd = batch_call(s->b, SYS_openat, (uint64_t)AT_FDCWD, path.va, O_WRONLY | O_CLOEXEC);
	batch_must(s->b, fd);
	wr = batch_call(s->b, SYS_write, 0, text.va, strlen(uid));
	batch_arg_ret(s->b, wr, 0, fd);
	batch_must(s->b, wr);
	batch_arg_ret(s->b, batch_call(s->b, SYS_close, 0), 0, fd);
	return 0;
}

const struct task_part loginuid_part = {
	.name = "loginuid",
	.take = loginuid_take,
	.load = loginuid_load,
	.restore = loginuid_restore,
};
