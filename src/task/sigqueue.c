/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending signals with their siginfo, in order: one queue per thread and one per process.
 * PTRACE_PEEKSIGINFO copies them without taking them off.
 *
 * They are queued again by the threads themselves: rt_sigqueueinfo(2) and rt_tgsigqueueinfo(2)
 * accept a siginfo as the kernel makes it (si_code >= 0) only from the receiver. All signals are
 * blocked by then, so that none is thrown away as ignored. A standard signal is pending at most
 * once in a queue, so the recorded ones fit.
 */
#include "task/part.h"

#include "image/schema/core.pb-c.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "remote/build.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define PEEK_AT_ONCE 32

/* A queue that is being recorded. */
struct recording {
	struct arena *a;
	uint64_t seen; /* bit n-1: signal n */
	VEC(SiginfoEntry *) list;
};

static void record(struct recording *q, int signo, const void *info)
{
	SiginfoEntry *e = arena_new_of(q->a, SiginfoEntry);

	siginfo_entry__init(e);
	e->siginfo.data = arena_dup(q->a, info, SIGINFO_LEN);
	e->siginfo.len = SIGINFO_LEN;
	*vec_push(&q->list) = e;
	q->seen |= 1ULL << (signo - 1);
}

static int peek(struct recording *q, pid_t tid, uint32_t flags, struct err *err)
{
	struct ptrace_peeksiginfo_args args = {.flags = flags, .nr = PEEK_AT_ONCE};
	siginfo_t buf[PEEK_AT_ONCE];
	long n;

	do {
		n = sys_ptrace(PTRACE_PEEKSIGINFO, tid, (uint64_t)(uintptr_t)&args,
			       (uint64_t)(uintptr_t)buf);
		for (long i = 0; i < n; i++)
			record(q, buf[i].si_signo, &buf[i]);
		args.off += n > 0 ? (uint64_t)n : 0;
	} while (n > 0);
	return n < 0 ? err_sys(err, (int)n, "thread %d: PTRACE_PEEKSIGINFO", tid) : 0;
}

/*
 * Pending without a siginfo: the kernel had no room in RLIMIT_SIGPENDING for one, and will make up
 * this one when it delivers the signal.
 */
static void record_bare(struct recording *q, const char *status, const char *field)
{
	uint64_t pending;

	if (!proc_field_u64(status, field, 16, &pending))
		return;
	for (int signo = 1; signo <= SIG_MAX; signo++) {
		siginfo_t info = {.si_signo = signo, .si_code = SI_USER};

		if ((pending & ~q->seen) >> (signo - 1) & 1)
			record(q, signo, &info);
	}
}

static SignalQueueEntry *recorded(struct recording *q)
{
	SignalQueueEntry *e = arena_new_of(q->a, SignalQueueEntry);

	signal_queue_entry__init(e);
	e->n_signals = q->list.len;
	if (q->list.len)
		e->signals = arena_dup(q->a, q->list.data, q->list.len * sizeof(*q->list.data));
	vec_done(&q->list);
	return e;
}

/* A signal that came for the agent's number while it ran is kept by remote/, and not pending. */
static void record_held(struct recording *q, const struct dthread *d, bool shared)
{
	const siginfo_t *held = d->th->held;

	if (held && shared == (held->si_code != SI_TKILL))
		record(q, held->si_signo, held);
}

static int queue_read(struct dthread *d, bool shared, SignalQueueEntry **ret, struct err *err)
{
	struct recording q = {.a = d->a};
	int r = peek(&q, d->th->tid, shared ? PTRACE_PEEKSIGINFO_SHARED : 0, err);

	record_held(&q, d, shared);
	record_bare(&q, d->status, shared ? "ShdPnd" : "SigPnd");
	*ret = recorded(&q);
	return r;
}

static int sigqueue_take(struct dthread *d, struct err *err)
{
	TRY(queue_read(d, false, &d->thread->signals_p, err));
	if (d->leader)
		TRY(queue_read(d, true, &d->tc->signals_s, err));
	return 0;
}

static int queue_signo(const uint8_t info[SIGINFO_LEN])
{
	int signo;

	memcpy(&signo, info, sizeof(signo));
	return signo;
}

/*
 * SIGSTOP can't be blocked: a pending one would stop the agent. It is about to stop the process, so
 * the process is one that is stopped.
 */
static bool queue_is_stop(struct rtask *rt, int signo)
{
	if (signo != SIGSTOP)
		return false;
	if (rt->state == RTASK_ALIVE) {
		rt->state = RTASK_STOPPED;
		rt->stop_signo = SIGSTOP;
	}
	return true;
}

static int queue_load(struct rtask *rt, const SignalQueueEntry *q, struct sigqueue *ret,
		      struct err *err)
{
	if (!q || !q->n_signals)
		return 0;
	ret->info = arena_alloc(rt->priv->ts->a, q->n_signals * SIGINFO_LEN);
	for (size_t i = 0; i < q->n_signals; i++) {
		const ProtobufCBinaryData *info = &q->signals[i]->siginfo;
		int signo;

		if (info->len != SIGINFO_LEN)
			return err_input(err, "pending signal of %zu bytes, a siginfo has %d",
					 info->len, SIGINFO_LEN);
		signo = queue_signo(info->data);
		if (signo < 1 || signo > SIG_MAX || signo == SIGKILL)
			return err_input(err, "pending signal number %d", signo);
		if (!queue_is_stop(rt, signo))
			memcpy(ret->info[ret->n++], info->data, SIGINFO_LEN);
	}
	return 0;
}

static int sigqueue_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	TRY(queue_load(r->rt, core->thread_core->signals_p, &r->queue, err));
	if (core->tc)
		TRY(queue_load(r->rt, core->tc->signals_s, &r->rt->priv->queue, err));
	return 0;
}

static bool queue_has(const struct sigqueue *q, int signo)
{
	for (size_t i = 0; i < q->n; i++)
		if (queue_signo(q->info[i]) == signo)
			return true;
	return false;
}

/*
 * The agent leaves its own signal unblocked in the thread that runs it. Should the program have
 * that one pending, it would be taken for the agent's and lost.
 */
static int queue_block_all(struct rstep *s, struct err *err)
{
	bool has = queue_has(&s->p->queue, BUILD_SIGNAL);

	for (size_t i = 0; i < s->rt->nthreads; i++)
		has |= queue_has(&s->rt->threads[i]->queue, BUILD_SIGNAL);
	if (!has)
		return 0;
	TRY(step_flush(s, err));
	return build_block_all(s->t, err);
}

static int sigqueue_late(struct rstep *s, struct err *err)
{
	const struct sigqueue *shared = &s->p->queue;

	if (s->r->leader)
		TRY(queue_block_all(s, err));
	for (size_t i = 0; s->r->leader && i < shared->n; i++) {
		raddr_t info;

		TRY(step_room(s, 1, SIGINFO_LEN, err));
		info = batch_put(s->b, shared->info[i], SIGINFO_LEN);
		step_call(s, SYS_rt_sigqueueinfo, s->rt->vpid,
			  (uint64_t)queue_signo(shared->info[i]), info.va);
	}
	for (size_t i = 0; i < s->r->queue.n; i++) {
		raddr_t info;

		TRY(step_room(s, 1, SIGINFO_LEN, err));
		info = batch_put(s->b, s->r->queue.info[i], SIGINFO_LEN);
		step_call(s, SYS_rt_tgsigqueueinfo, s->rt->vpid, s->r->vtid,
			  (uint64_t)queue_signo(s->r->queue.info[i]), info.va);
	}
	return 0;
}

const struct task_part sigqueue_part = {
	.name = "pending signals",
	.take = sigqueue_take,
	.load = sigqueue_load,
	.late = sigqueue_late,
};
