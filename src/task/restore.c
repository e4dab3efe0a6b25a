/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restore of a process and its threads, which exist already, with memory and files: each thread
 * goes down the table of parts. Calls that the thread must make itself are collected in a batch;
 * the rest is done from outside while the batch is being collected, so that a part that needs its
 * calls to have happened runs it (step_flush).
 */
#include "task/part.h"

#include "base/log.h"
#include "remote/build.h"
#include "task/arch/core.h"
#include "task/rseq.h"

#include <string.h>

int step_flush(struct rstep *s, struct err *err)
{
	TRY(batch_run(s->b, err));
	TRY(batch_expect_all(s->b, err));
	batch_reset(s->b);
	return 0;
}

int step_room(struct rstep *s, size_t calls, size_t bytes, struct err *err)
{
	if (batch_has_room(s->b, calls, bytes))
		return 0;
	TRY(step_flush(s, err));
	if (!batch_has_room(s->b, calls, bytes))
		return err_bug(err, "%zu calls and %zu bytes don't fit into a batch", calls, bytes);
	return 0;
}

static int step_err(const struct rstep *s, const char *part, struct err *err)
{
	if (strncmp(err->text, "pid ", 4) == 0)
		return err->code;
	return err_in(err, "pid %u (%s): %s", s->rt->vpid, s->rt->comm, part);
}

/* Threads are nearly always in the record's order. */
static struct target_thread *thread_of(const struct target *t, const struct rtask *rt, size_t i)
{
	pid_t vtid = (pid_t)rt->threads[i]->vtid;

	if (i == 0)
		return target_leader(t);
	if (i < t->nthreads && t->threads[i]->vtid == vtid)
		return t->threads[i];
	for (size_t k = 1; k < t->nthreads; k++)
		if (t->threads[k]->vtid == vtid)
			return t->threads[k];
	return NULL;
}

static int step_init(struct rstep *s, struct target *t, const struct rtask *rt, size_t i,
		     struct err *err)
{
	*s = (struct rstep){.t = t, .rt = rt, .p = rt->priv, .r = rt->threads[i]};
	s->th = thread_of(t, rt, i);
	if (!s->th)
		return err_bug(err, "pid %u (%s): thread %u wasn't made", rt->vpid, rt->comm,
			       s->r->vtid);
	TRY(remote_enter(s->th, err));
	s->b = batch_new(s->th);
	return 0;
}

/* The most that one part appends without asking for room. */
#define PART_CALLS 100
#define PART_BYTES 8192

static int thread_restore(struct rstep *s, struct err *err)
{
	for (size_t i = 0; task_parts[i]; i++) {
		const struct task_part *p = task_parts[i];

		if (!p->restore || (p->leader_only && !s->r->leader))
			continue;
		if (step_room(s, PART_CALLS, PART_BYTES, err) < 0 || p->restore(s, err) < 0)
			return step_err(s, p->name, err);
	}
	return step_flush(s, err);
}

int rtask_restore(struct target *t, const struct rtask *rt, struct err *err)
{
	log_debug("pid %u (%s): restoring %zu threads", rt->vpid, rt->comm, rt->nthreads);
	/* The leader last: its seccomp filters may be meant for all threads. */
	for (size_t i = rt->nthreads; i-- > 0;) {
		struct rstep s;
		int r;

		TRY(step_init(&s, t, rt, i, err));
		r = thread_restore(&s, err);
		batch_free(s.b);
		TRY(r);
	}
	return 0;
}

static bool has_late_part(const struct rthread *r)
{
	return r->leader || r->queue.n || r->pdeath_sig;
}

/*
 * Part by part over all threads here, because the parts depend on each other across threads. Few
 * threads but the leader have anything to do.
 */
static int part_late(const struct task_part *p, struct rstep *leader, struct err *err)
{
	const struct rtask *rt = leader->rt;

	if (step_room(leader, PART_CALLS, PART_BYTES, err) < 0 || p->late(leader, err) < 0)
		return step_err(leader, p->name, err);
	for (size_t i = 1; i < rt->nthreads && !p->leader_only; i++) {
		struct rstep s;
		int r;

		if (!has_late_part(rt->threads[i]))
			continue;
		TRY(step_flush(leader, err));
		TRY(step_init(&s, leader->t, rt, i, err));
		r = p->late(&s, err);
		if (r >= 0)
			r = step_flush(&s, err);
		batch_free(s.b);
		if (r < 0)
			return step_err(&s, p->name, err);
	}
	return 0;
}

int rtask_restore_late(struct target *t, const struct rtask *rt, struct err *err)
{
	struct rstep s;
	int r = 0;

	TRY(step_init(&s, t, rt, 0, err));
	for (size_t i = 0; task_parts[i] && r >= 0; i++)
		if (task_parts[i]->late)
			r = part_late(task_parts[i], &s, err);
	if (r >= 0)
		r = step_flush(&s, err);
	batch_free(s.b);
	return r;
}

int rtask_set_states(struct target *t, const struct rtask *rt, struct err *err)
{
	for (size_t i = 0; i < rt->nthreads; i++) {
		const struct rthread *r = rt->threads[i];
		struct target_thread *th = thread_of(t, rt, i);

		if (!th)
			return err_bug(err, "pid %u (%s): thread %u is gone", rt->vpid, rt->comm,
				       r->vtid);
		TRY(rseq_finish(t, r, err));
		TRY(build_set_state(th, arch_core_state(r->cpu), r->sigmask, err));
	}
	return 0;
}
