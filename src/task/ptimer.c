/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX timers of a process (timer_create(2)). Which there are is in /proc/PID/timers, what is
 * left of them says timer_gettime(2) of the process.
 *
 * Ids are given by the kernel, and the program knows them. Since 6.16 a process can ask for ids
 * (PR_TIMER_CREATE_RESTORE_IDS); before, they count up from 0, so that timers are made and
 * deleted until the wanted one comes. Overruns that were counted but not fetched are lost.
 *
 * A clock of "the calling thread" ties a timer to its creator, which can't be seen. Such timers
 * nearly always notify that same thread, so it is the one that creates it; else the leader does.
 */
#include "task/ptimer.h"

#include "base/io.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS	77 /* 6.16 */
#define PR_TIMER_CREATE_RESTORE_IDS_OFF 0
#define PR_TIMER_CREATE_RESTORE_IDS_ON	1
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif

#define PTIMER_CHUNK	   128
#define PTIMER_COUNTED_MAX (1 << 20) /* more ids than that aren't counted up to */
#define CLOCK_THREAD_SELF  (-2)	     /* what the kernel makes of CLOCK_THREAD_CPUTIME_ID */

/* struct sigevent of the kernel. */
struct ksigevent {
	uint64_t value;
	int32_t signo, notify, tid;
	int32_t pad[11];
};
_Static_assert(sizeof(struct ksigevent) == 64, "SIGEV_MAX_SIZE");

/* ------------------------------------------------------------------ dump */

/* "signal/tid.812": how, and whom. */
static bool parse_notify(const char *p, struct ptimer *t)
{
	static const struct {
		const char *name;
		int notify;
	} hows[] = {{"signal/", SIGEV_SIGNAL}, {"none/", SIGEV_NONE}, {"thread/", SIGEV_THREAD}};
	const char *who, *pid = NULL;
	uint64_t tid;

	for (size_t i = 0; i < ARRAY_SIZE(hows); i++) {
		who = str_after(p, hows[i].name);
		if (!who)
			continue;
		t->notify = hows[i].notify;
		pid = str_after(who, "tid.");
		if (pid)
			t->notify |= SIGEV_THREAD_ID;
		else
			pid = str_after(who, "pid.");
		break;
	}
	if (!pid || !scan_u64(&pid, 10, &tid) || tid > INT32_MAX)
		return false;
	t->tid = (pid_t)tid;
	return true;
}

static bool parse_line(const char *line, struct ptimer *t)
{
	const char *p;
	uint64_t u;
	int64_t v;

	if ((p = str_after(line, "signal:"))) {
		if (!scan_u64(&p, 10, &u) || u > SIG_MAX || !scan_char(&p, '/'))
			return false;
		t->signo = (int)u;
		return scan_u64(&p, 16, &t->value);
	}
	if ((p = str_after(line, "notify: ")))
		return parse_notify(p, t);
	if ((p = str_after(line, "ClockID:"))) {
		if (!scan_i64(&p, 10, &v) || v < INT32_MIN || v > INT32_MAX)
			return false;
		t->clock = (int)v;
	}
	return true; /* a field of a newer kernel */
}

static int by_id(const void *a, const void *b)
{
	const struct ptimer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

int ptimer_parse(const char *text, struct arena *a, struct ptimer **ret, size_t *ret_n,
		 struct err *err)
{
	VEC(struct ptimer) list = {0};
	auto_free char *copy = xstrdup(text);
	char *rest = copy, *line;
	bool ok = true;

	while (ok && (line = strsep(&rest, "\n"))) {
		const char *p = str_after(line, "ID:");
		uint64_t id = 0;

		if (p) {
			ok = scan_u64(&p, 10, &id) && id <= INT32_MAX;
			*vec_push(&list) = (struct ptimer){.id = (int)id};
		} else if (*line) {
			ok = list.len && parse_line(line, &list.data[list.len - 1]);
		}
	}
	*ret_n = list.len;
	*ret = NULL;
	if (ok && list.len) {
		qsort(list.data, list.len, sizeof(*list.data), by_id);
		*ret = arena_dup(a, list.data, list.len * sizeof(*list.data));
	}
	vec_done(&list);
	return ok ? 0 : err_bug(err, "unreadable /proc/PID/timers");
}

static int ptimer_check(const struct target *t, struct err *err)
{
	auto_free char *text = NULL;

	if (io_read_file(t->proc, "stat", &text, NULL) == 0 &&
	    faccessat(t->proc, "timers", F_OK, 0))
		return err_kernel(err, "/proc/PID/timers: this kernel has none, it needs "
				       "CONFIG_CHECKPOINT_RESTORE");
	return 0;
}

/* What is left of n timers, by the process itself. */
static int ptimer_ask_left(struct dthread *d, struct ptimer *t, size_t n, struct err *err)
{
	auto_batch struct batch *b = batch_new(d->th);
	raddr_t left = batch_space(b, n * sizeof(struct itimerspec));

	for (size_t i = 0; i < n; i++) {
		batch_must(b, batch_call(b, SYS_timer_gettime, (uint64_t)t[i].id,
					 left.va + i * sizeof(struct itimerspec)));
		batch_must(b, batch_call(b, SYS_timer_getoverrun, (uint64_t)t[i].id));
	}
	TRY(batch_run(b, err));
	TRY(batch_expect_all(b, err));
	for (size_t i = 0; i < n; i++) {
		t[i].left = ((const struct itimerspec *)batch_data(b, left))[i];
		t[i].overrun = (uint32_t)batch_ret(b, 2 * i + 1);
	}
	return 0;
}

/* Torpor's thread id to the process's own. 0: that thread is gone. */
static pid_t ptimer_vtid(const struct target *t, pid_t tid)
{
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i]->tid == tid)
			return t->threads[i]->vtid;
	return 0;
}

static PosixTimerEntry *ptimer_entry(struct dthread *d, const struct ptimer *t)
{
	PosixTimerEntry *e = arena_new_of(d->a, PosixTimerEntry);
	pid_t vtid = t->notify & SIGEV_THREAD_ID ? ptimer_vtid(d->t, t->tid) : 0;

	posix_timer_entry__init(e);
	e->it_id = (uint32_t)t->id;
	e->clock_id = (uint32_t)t->clock;
	e->si_signo = (uint32_t)t->signo;
	e->it_sigev_notify = (uint32_t)t->notify;
	e->sival_ptr = t->value;
	e->overrun = t->overrun;
	e->isec = (uint64_t)t->left.it_interval.tv_sec;
	e->insec = (uint64_t)t->left.it_interval.tv_nsec;
	e->vsec = (uint64_t)t->left.it_value.tv_sec;
	e->vnsec = (uint64_t)t->left.it_value.tv_nsec;
	if (vtid) {
		e->has_notify_thread_id = 1;
		e->notify_thread_id = vtid;
	} else if (t->notify & SIGEV_THREAD_ID) {
		/* Its thread has ended: it notifies nobody any more, and no thread could be named.
		 */
		e->it_sigev_notify = SIGEV_NONE;
	}
	return e;
}

static int ptimer_take(struct dthread *d, struct err *err)
{
	TaskTimersEntry *timers = d->tc->timers;
	auto_free char *text = NULL;
	struct ptimer *list;
	size_t n = 0;
	int r = io_read_file(d->t->proc, "timers", &text, NULL);

	if (r == -ENOENT)
		return ptimer_check(d->t, err);
	if (r < 0)
		return err_sys(err, r, "read /proc/%d/timers", d->t->pid);
	TRY(ptimer_parse(text, d->a, &list, &n, err));
	if (!n)
		return 0;
	for (size_t i = 0; i < n; i += PTIMER_CHUNK)
		TRY(ptimer_ask_left(d, list + i, MIN(n - i, (size_t)PTIMER_CHUNK), err));
	timers->posix = arena_array_of(d->a, PosixTimerEntry *, n);
	timers->n_posix = n;
	for (size_t i = 0; i < n; i++) {
		if (list[i].clock >= 0) /* negative ones count CPU time */
			asked_expiry(&d->asked, list[i].left.it_value.tv_sec,
				     list[i].left.it_value.tv_nsec);
		timers->posix[i] = ptimer_entry(d, &list[i]);
	}
	return 0;
}

/* --------------------------------------------------------------- restore */

static bool ptimer_has_thread(const struct rtask *rt, pid_t vtid)
{
	for (size_t i = 0; i < rt->nthreads; i++)
		if (rt->threads[i]->vtid == (uint32_t)vtid)
			return true;
	return false;
}

static int ptimer_load_one(const struct rtask *rt, const PosixTimerEntry *e, struct ptimer *t,
			   struct err *err)
{
	bool named = e->it_sigev_notify == SIGEV_THREAD_ID;

	if (e->it_id > INT32_MAX)
		return err_input(err, "POSIX timer id %u", e->it_id);
	if (e->it_sigev_notify > SIGEV_THREAD && !named)
		return err_input(err, "POSIX timer %u: notification %u", e->it_id,
				 e->it_sigev_notify);
	if (e->it_sigev_notify != SIGEV_NONE && (e->si_signo < 1 || e->si_signo > SIG_MAX))
		return err_input(err, "POSIX timer %u: signal %u", e->it_id, e->si_signo);
	if (named && (!e->has_notify_thread_id || !ptimer_has_thread(rt, e->notify_thread_id)))
		return err_input(
			err, "POSIX timer %u notifies thread %d, which isn't one of the process",
			e->it_id, e->has_notify_thread_id ? e->notify_thread_id : 0);
	if (e->isec > INT64_MAX || e->vsec > INT64_MAX || e->insec >= 1000000000 ||
	    e->vnsec >= 1000000000)
		return err_input(err, "POSIX timer %u: time out of range", e->it_id);
	*t = (struct ptimer){.id = (int)e->it_id,
			     .clock = (int)e->clock_id,
			     .signo = (int)e->si_signo,
			     .notify = (int)e->it_sigev_notify,
			     .value = e->sival_ptr,
			     .tid = named ? e->notify_thread_id : 0};
	t->left.it_interval.tv_sec = (time_t)e->isec;
	t->left.it_interval.tv_nsec = (long)e->insec;
	t->left.it_value.tv_sec = (time_t)e->vsec;
	t->left.it_value.tv_nsec = (long)e->vnsec;
	if (!e->vsec && !e->vnsec)
		t->left.it_value = t->left.it_interval; /* about to expire, see itimer.c */
	return 0;
}

static int ptimer_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const TaskTimersEntry *timers = core->tc->timers;
	struct rtask_priv *p = r->rt->priv;

	if (!timers || !timers->n_posix)
		return 0;
	p->ptimers = arena_array_of(p->ts->a, struct ptimer, timers->n_posix);
	p->nptimers = timers->n_posix;
	for (size_t i = 0; i < p->nptimers; i++)
		TRY(ptimer_load_one(r->rt, timers->posix[i], &p->ptimers[i], err));
	qsort(p->ptimers, p->nptimers, sizeof(*p->ptimers), by_id);
	for (size_t i = 1; i < p->nptimers; i++)
		if (p->ptimers[i].id == p->ptimers[i - 1].id)
			return err_input(err, "two POSIX timers with id %d", p->ptimers[i].id);
	return 0;
}

/* The kernel of torpor is the one of the tree: ask for ourselves. */
static bool ptimer_can_choose_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0;
}

static int ptimer_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	const struct rtask_priv *p = r->rt->priv;

	if (!p->nptimers || ptimer_can_choose_ids())
		return 0;
	if (p->ptimers[p->nptimers - 1].id > PTIMER_COUNTED_MAX)
		return err_kernel(err,
				  "POSIX timer id %d: only kernels from 6.16 take an id as high",
				  p->ptimers[p->nptimers - 1].id);
	return 0;
}

static size_t ptimer_create(struct batch *b, const struct ptimer *t, int id, raddr_t *ret_id)
{
	struct ksigevent ev = {
		.value = t->value, .signo = t->signo, .notify = t->notify, .tid = t->tid};
	raddr_t at = batch_put(b, &ev, sizeof(ev));
	size_t i;

	*ret_id = batch_put(b, &id, sizeof(id));
	i = batch_call(b, SYS_timer_create, (uint64_t)t->clock, at.va, ret_id->va);
	batch_must(b, i);
	return i;
}

/* Counts the kernel's next id up to the wanted one. */
static int ptimer_count_up(struct rstep *s, int from, int to, struct err *err)
{
	static const struct ptimer dummy = {.notify = SIGEV_NONE, .clock = CLOCK_MONOTONIC};

	for (int id = from; id < to; id++) {
		raddr_t at;
		size_t del;

		TRY(step_room(s, 2, 256, err));
		(void)ptimer_create(s->b, &dummy, 0, &at);
		del = batch_call(s->b, SYS_timer_delete, 0);
		batch_arg_load32(s->b, del, 0, at);
		batch_must(s->b, del);
	}
	return 0;
}

/* The thread whose call makes the timer: see the head of this file. */
static struct target_thread *ptimer_creator(struct rstep *s, const struct ptimer *t)
{
	if (t->clock != CLOCK_THREAD_SELF && t->clock != CLOCK_THREAD_CPUTIME_ID)
		return s->th;
	for (size_t i = 0; i < s->t->nthreads; i++)
		if (t->tid && s->t->threads[i]->vtid == t->tid)
			return s->t->threads[i];
	return s->th;
}

/* Makes one timer in a batch of its own, to see its id. */
static int ptimer_make(struct rstep *s, const struct ptimer *t, struct err *err)
{
	struct target_thread *th = ptimer_creator(s, t);
	auto_batch struct batch *b = NULL;
	raddr_t at;
	int id;

	TRY(step_flush(s, err));
	TRY(remote_enter(th, err));
	b = batch_new(th);
	(void)ptimer_create(b, t, t->id, &at);
	TRY(batch_run(b, err));
	TRY(batch_expect_all(b, err));
	memcpy(&id, batch_data(b, at), sizeof(id));
	if (id != t->id)
		return err_kernel(err, "POSIX timer %d came out with id %d", t->id, id);
	return 0;
}

/*
 * The timers are there, disarmed, before the program's limits apply: each takes a place in
 * RLIMIT_SIGPENDING.
 */
static int ptimer_make_all(struct rstep *s, struct err *err)
{
	bool choose = ptimer_can_choose_ids();
	int next = 0;

	if (choose)
		step_call(s, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON,
			  0, 0, 0);
	for (size_t i = 0; i < s->p->nptimers; i++) {
		if (!choose)
			TRY(ptimer_count_up(s, next, s->p->ptimers[i].id, err));
		TRY(ptimer_make(s, &s->p->ptimers[i], err));
		next = s->p->ptimers[i].id + 1;
	}
	if (choose)
		step_call(s, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS,
			  PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0);
	return 0;
}

static int ptimer_late(struct rstep *s, struct err *err)
{
	if (!s->p->nptimers)
		return 0;
	TRY(ptimer_make_all(s, err));
	for (size_t i = 0; i < s->p->nptimers; i++) {
		const struct ptimer *t = &s->p->ptimers[i];
		raddr_t at;

		if (!t->left.it_value.tv_sec && !t->left.it_value.tv_nsec)
			continue;
		TRY(step_room(s, 1, sizeof(t->left), err));
		at = batch_put(s->b, &t->left, sizeof(t->left));
		step_call(s, SYS_timer_settime, (uint64_t)t->id, 0, at.va, 0);
	}
	return 0;
}

const struct task_part ptimer_part = {
	.name = "POSIX timers",
	.leader_only = true,
	.check = ptimer_check,
	.take = ptimer_take,
	.load = ptimer_load,
	.able = ptimer_able,
	.late = ptimer_late,
};
