/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp mode and filters of a thread. The mode is in /proc/PID/task/TID/status, the filters are
 * read with PTRACE_SECCOMP_GET_FILTER (CAP_SYS_ADMIN, and torpor itself not under seccomp), whose
 * index counts from the oldest. Of a filter's flags only LOG can be seen. A filter with a listener
 * (SECCOMP_RET_USER_NOTIF) shows as a descriptor of its supervisor, which is refused there.
 *
 * The image has one file for all tasks. A chain stands in consecutive slots, newest first; each but
 * the newest names the slot before it as `prev`; the thread names its oldest, so that following
 * `prev` gives the order of installation. When all threads of a process have the same chain, only
 * the leader keeps it, marked TSYNC, and the others are written as if they had none.
 *
 * At a restore filters come right before the credentials: installing one needs no_new_privs or
 * CAP_SYS_ADMIN, and the program may have neither after them. PTRACE_O_SUSPEND_SECCOMP keeps
 * them from acting until the thread is let go.
 */
#include "task/seccomp.h"

#include "base/io.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/seccomp.pb-c.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define INSN_LEN  sizeof(struct sock_filter)
#define CHAIN_MAX 32768 /* the kernel's limit on instructions of a whole chain */
/* What a filter may be installed with here; TSYNC is decided for the chain. */
#define FLAGS_KNOWN                                                                                \
	(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW)

/* ------------------------------------------------------------------ dump */

static int seccomp_mode_of(const char *status)
{
	uint64_t mode;

	return proc_field_u64(status, "Seccomp", 10, &mode) ? (int)mode : 0;
}

static int filter_read_failed(long code, pid_t tid, struct err *err)
{
	(void)err_sys(err, (int)code, "thread %d: read its seccomp filters", tid);
	if (code == -EACCES || code == -EPERM)
		return err_hint(err, "give torpor CAP_SYS_ADMIN, and run it without seccomp");
	if (code == -EMEDIUMTYPE)
		return err_hint(err, "run the program without that filter: it isn't a classic one");
	return (int)code;
}

/* -ENOENT: there are only so many. */
static int filter_read(pid_t tid, uint64_t index, struct arena *a, struct seccomp_read *ret)
{
	struct seccomp_metadata md = {.filter_off = index};
	long n = sys_ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, 0);

	if (n < 0)
		return (int)n;
	ret->n = (uint16_t)n;
	ret->insns = arena_alloc(a, (size_t)n * INSN_LEN);
	n = sys_ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, (uint64_t)(uintptr_t)ret->insns);
	if (n < 0)
		return (int)n;
	/* 4.16; without it no flags are known. */
	n = sys_ptrace(PTRACE_SECCOMP_GET_METADATA, tid, sizeof(md), (uint64_t)(uintptr_t)&md);
	ret->flags = n < 0 ? 0 : (uint32_t)md.flags;
	return 0;
}

static int seccomp_take(struct dthread *d, struct err *err)
{
	VEC(struct seccomp_read) filters = {0};
	struct seccomp_read f = {0};
	int mode = seccomp_mode_of(d->status), r;

	if (mode == SECCOMP_MODE_DISABLED)
		return 0;
	d->thread->has_seccomp_mode = 1;
	d->thread->seccomp_mode = (SeccompMode)mode;
	if (mode == SECCOMP_MODE_STRICT)
		return 0;
	while ((r = filter_read(d->th->tid, filters.len, d->a, &f)) == 0)
		*vec_push(&filters) = f;
	d->chain = arena_new_of(d->a, struct dchain);
	d->chain->n = filters.len;
	if (filters.len)
		d->chain->filters =
			arena_dup(d->a, filters.data, filters.len * sizeof(*filters.data));
	vec_done(&filters);
	if (r != -ENOENT)
		return filter_read_failed(r, d->th->tid, err);
	return d->chain->n ? 0 : err_bug(err, "thread %d: seccomp without filters", d->th->tid);
}

static bool chains_equal(const struct dchain *a, const struct dchain *b)
{
	if (!a || !b || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct seccomp_read *x = &a->filters[i], *y = &b->filters[i];

		if (x->n != y->n || x->flags != y->flags ||
		    memcmp(x->insns, y->insns, x->n * INSN_LEN) != 0)
			return false;
	}
	return true;
}

uint32_t seccomp_chain_put(struct arena *a, SeccompEntry *e, const struct dchain *c, bool tsync)
{
	size_t first = e->n_seccomp_filters;
	SeccompFilter **list = arena_array_of(a, SeccompFilter *, first + c->n);

	if (first)
		memcpy(list, e->seccomp_filters, first * sizeof(*list));
	for (size_t i = 0; i < c->n; i++) {
		const struct seccomp_read *f = &c->filters[c->n - 1 - i];
		SeccompFilter *slot = list[first + i] = arena_new_of(a, SeccompFilter);

		seccomp_filter__init(slot);
		slot->filter.data = arena_dup(a, f->insns, f->n * INSN_LEN);
		slot->filter.len = f->n * INSN_LEN;
		slot->has_flags = 1;
		slot->flags = f->flags | (tsync ? SECCOMP_FILTER_FLAG_TSYNC : 0);
		if (i) {
			slot->has_prev = 1;
			slot->prev = (uint32_t)(first + i - 1);
		}
	}
	e->seccomp_filters = list;
	e->n_seccomp_filters = first + c->n;
	return (uint32_t)(e->n_seccomp_filters - 1);
}

void seccomp_settle(struct dthread *threads, size_t n)
{
	struct tasks *ts = threads[0].ts;
	bool common = threads[0].chain != NULL;

	for (size_t i = 1; i < n && common; i++)
		common = chains_equal(threads[0].chain, threads[i].chain);
	for (size_t i = 0; i < n; i++) {
		struct dthread *d = &threads[i];

		if (!d->chain)
			continue;
		if (common && i > 0) {
			d->thread->has_seccomp_mode = 0;
			continue;
		}
		d->thread->has_seccomp_filter = 1;
		d->thread->seccomp_filter = seccomp_chain_put(ts->a, ts->seccomp, d->chain, common);
	}
}

int seccomp_write(struct tasks *ts, struct err *err)
{
	return img_write_one(ts->dir, IMG_SECCOMP, 0, &ts->seccomp->base, err);
}

/* --------------------------------------------------------------- restore */

int seccomp_filters_load(struct rtasks *ts, const SeccompEntry *e, struct err *err)
{
	ts->nfilters = e->n_seccomp_filters;
	ts->filters = arena_array_of(ts->a, struct seccomp_filter, ts->nfilters + 1);
	for (size_t i = 0; i < ts->nfilters; i++) {
		const SeccompFilter *f = e->seccomp_filters[i];
		struct seccomp_filter *to = &ts->filters[i];

		if (!f->filter.len || f->filter.len % INSN_LEN ||
		    f->filter.len / INSN_LEN > BPF_MAXINSNS)
			return err_input(err, "seccomp filter %zu: %zu bytes", i, f->filter.len);
		if (f->has_prev && f->prev >= ts->nfilters)
			return err_input(err, "seccomp filter %zu: prev is %u, there are %zu", i,
					 f->prev, ts->nfilters);
		if (f->has_flags && f->flags & ~(uint32_t)FLAGS_KNOWN)
			return err_input(err, "seccomp filter %zu: unknown flags %#x", i, f->flags);
		to->insns = f->filter.data;
		to->n = (uint16_t)(f->filter.len / INSN_LEN);
		to->flags = f->has_flags ? f->flags : 0;
		to->prev = f->has_prev ? (int64_t)f->prev : -1;
	}
	return 0;
}

int seccomp_read(struct rtasks *ts, struct err *err)
{
	SeccompEntry *e;
	int r = img_read_opt(ts->dir, IMG_SECCOMP, 0, ts->a, &e, err);

	return r <= 0 ? r : seccomp_filters_load(ts, e, err);
}

int seccomp_chain_load(struct rtasks *ts, uint32_t index, struct seccomp_chain *ret,
		       struct err *err)
{
	size_t total = 0;

	if (index >= ts->nfilters)
		return err_input(err, "seccomp filter %u, there are %zu", index, ts->nfilters);
	*ret = (struct seccomp_chain){0};
	for (int64_t i = index; i >= 0; i = ts->filters[i].prev) {
		/* The kernel counts four more for each filter. A ring comes to this end, too. */
		total += ts->filters[i].n + 4U;
		ret->n++;
		if (total > CHAIN_MAX)
			return err_input(err, "seccomp filters from %u on: too many", index);
	}
	ret->filters = arena_array_of(ts->a, const struct seccomp_filter *, ret->n);
	ret->n = 0;
	for (int64_t i = index; i >= 0; i = ts->filters[i].prev) {
		ret->filters[ret->n++] = &ts->filters[i];
		ret->tsync |= ts->filters[i].flags & SECCOMP_FILTER_FLAG_TSYNC;
	}
	return 0;
}

static int seccomp_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const ThreadCoreEntry *t = core->thread_core;
	const TaskCoreEntry *tc = core->tc;
	struct rtasks *ts = r->rt->priv->ts;
	bool has_filter = t->has_seccomp_filter, old = false;
	uint32_t filter = t->seccomp_filter;

	r->seccomp_mode = t->has_seccomp_mode ? (int)t->seccomp_mode : SECCOMP_MODE_DISABLED;
	if (!t->has_seccomp_mode && tc && tc->has_old_seccomp_mode) {
		/* Old images have one chain per process. */
		r->seccomp_mode = (int)tc->old_seccomp_mode;
		has_filter = tc->has_old_seccomp_filter;
		filter = tc->old_seccomp_filter;
		old = true;
	}
	if (r->seccomp_mode < SECCOMP_MODE_DISABLED || r->seccomp_mode > SECCOMP_MODE_FILTER)
		return err_input(err, "seccomp mode %d", r->seccomp_mode);
	if (r->seccomp_mode != SECCOMP_MODE_FILTER)
		return 0;
	if (!has_filter)
		return err_input(err, "seccomp mode 2 without a filter");
	TRY(seccomp_chain_load(ts, filter, &r->chain, err));
	r->chain.tsync = r->leader && (r->chain.tsync || old);
	return 0;
}

static int seccomp_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	if (r->seccomp_mode == SECCOMP_MODE_DISABLED)
		return 0;
	/* PTRACE_O_SUSPEND_SECCOMP wants it, and installing does without no_new_privs. */
	if (m->creds.eff >> CAP_SYS_ADMIN & 1)
		return 0;
	(void)err_sys(err, -EPERM, "thread %u: restore its seccomp mode", r->vtid);
	return err_hint(err, "give torpor CAP_SYS_ADMIN");
}

static int filter_install(struct rstep *s, const struct seccomp_filter *f, bool tsync,
			  struct err *err)
{
	struct sock_fprog prog = {.len = f->n};
	uint64_t flags = f->flags & ~(uint32_t)SECCOMP_FILTER_FLAG_TSYNC;
	raddr_t insns, at;
	size_t call;

	/* Alone in its batch: with TSYNC a failure is the id of a thread, not an error. */
	TRY(step_flush(s, err));
	TRY(step_room(s, 1, f->n * INSN_LEN + sizeof(prog), err));
	insns = batch_put(s->b, f->insns, f->n * INSN_LEN);
	prog.filter = (struct sock_filter *)(uintptr_t)insns.va;
	at = batch_put(s->b, &prog, sizeof(prog));
	call = batch_call(s->b, SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | (tsync ? SECCOMP_FILTER_FLAG_TSYNC : 0), at.va);
	batch_must(s->b, call);
	TRY(batch_run(s->b, err));
	TRY(batch_expect_all(s->b, err));
	if (batch_ret(s->b, call) > 0)
		return err_bug(err, "seccomp filters can't be given to thread %lld",
			       (long long)batch_ret(s->b, call));
	batch_reset(s->b);
	return 0;
}

static int seccomp_restore(struct rstep *s, struct err *err)
{
	if (s->r->seccomp_mode == SECCOMP_MODE_STRICT)
		step_call(s, SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0);
	for (size_t i = 0; i < s->r->chain.n; i++)
		TRY(filter_install(s, s->r->chain.filters[i], s->r->chain.tsync, err));
	return 0;
}

static int seccomp_check(const struct target *t, struct err *err)
{
	auto_free char *status = NULL, *own = NULL;
	uint64_t eff = 0;

	if (io_read_file(t->proc, "status", &status, NULL) < 0 ||
	    seccomp_mode_of(status) != SECCOMP_MODE_FILTER)
		return 0;
	if (io_read_file(-1, "/proc/self/status", &own, NULL) == 0 &&
	    proc_field_u64(own, "CapEff", 16, &eff) && eff >> CAP_SYS_ADMIN & 1 &&
	    seccomp_mode_of(own) == SECCOMP_MODE_DISABLED)
		return 0;
	return filter_read_failed(-EACCES, t->pid, err);
}

const struct task_part seccomp_part = {
	.name = "seccomp",
	.check = seccomp_check,
	.take = seccomp_take,
	.load = seccomp_load,
	.able = seccomp_able,
	.restore = seccomp_restore,
};
