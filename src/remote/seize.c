/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing a process tree: PTRACE_SEIZE and PTRACE_INTERRUPT.
 *
 * All threads that are known are interrupted first and waited for afterwards, so that they stop in
 * parallel. A stopped process can't make threads or children any more, but until then it could,
 * and an orphan may have got another parent: whatever was stopped is looked through again until
 * nothing new turns up. Where it shows: /proc/PID/task, /proc/PID/task/TID/children.
 *
 * A signal that a thread was about to handle is delivered (its handler's first instruction is where
 * the thread stops then), as no other place keeps it in order with the rest.
 *
 * Refused: tasks traced by somebody else (a task has one tracer), 32-bit code, a dead main thread
 * with living ones. A parent in vfork() can't stop before its child has called execve() or _exit():
 * everything is let go for a while, and it is tried again until the time is over.
 */
#include "remote/seize.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/vec.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "remote/arch/x86_64/gadget.h"
#include "remote/arch/x86_64/state.h"
#include "remote/batch.h"
#include "remote/freezer.h"
#include "remote/internal.h"
#include "remote/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Ids already known; open addressing, 0 is free. */
struct id_set {
	pid_t *slots;
	size_t cap, n;
};

struct seizer {
	const struct seize_opts *opts;
	pid_t root;
	uint64_t deadline_ms; /* 0: none */
	VEC(struct target *) targets;
	struct id_set known; /* tids */
	struct gadgets *gadgets;
	char *refreeze;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool is_late(const struct seizer *s)
{
	return s->deadline_ms && now_ms() >= s->deadline_ms;
}

/* False if it was in there already. */
static bool id_set_add(struct id_set *set, pid_t id)
{
	size_t i;

	if (set->n * 2 >= set->cap) {
		struct id_set old = *set;

		set->cap = old.cap ? old.cap * 2 : 256;
		set->n = 0;
		set->slots = xcalloc(set->cap, sizeof(*set->slots));
		for (i = 0; i < old.cap; i++)
			if (old.slots[i])
				id_set_add(set, old.slots[i]);
		free(old.slots);
	}
	for (i = (size_t)id * 2654435761U % set->cap; set->slots[i]; i = (i + 1) % set->cap)
		if (set->slots[i] == id)
			return false;
	set->slots[i] = id;
	set->n++;
	return true;
}

/* Why a thread couldn't be seized: 0 if it is dead, which is nobody's fault; 1 if it is ours. */
static int seize_failed(struct target *t, pid_t tid, int code, struct err *err)
{
	char path[48];
	auto_free char *status = NULL;
	const char *state;
	uint64_t tracer = 0;
	struct proc_stat who = {.comm = "?"};
	int r;

	if (code == -ESRCH)
		return 0;
	snprintf(path, sizeof(path), "task/%d/status", tid);
	r = io_read_file(t->proc, path, &status, NULL);
	if (proc_is_gone(r))
		return 0;
	state = r < 0 ? NULL : proc_field(status, "State");
	if (state && (*state == 'Z' || *state == 'X'))
		return 0;
	if (r == 0 && proc_field_u64(status, "TracerPid", 10, &tracer) &&
	    tracer == (uint64_t)getpid())
		return 1; /* it didn't stop in time to be released before this attempt */
	if (tracer) {
		snprintf(path, sizeof(path), "/proc/%lu/stat", tracer);
		ignore(proc_read_stat(AT_FDCWD, path, &who)); /* only for its name */
		return err_refuse(err, "end the debugger or tracer first",
				  "pid %d (%s): thread %d is traced by pid %lu (%s)", t->pid,
				  t->comm, tid, tracer, who.comm);
	}
	err_sys(err, code, "pid %d (%s): PTRACE_SEIZE of thread %d", t->pid, t->comm, tid);
	return err_hint(err, "CAP_SYS_PTRACE is needed for programs of other users");
}

int thread_seize(struct target *t, pid_t tid, struct err *err)
{
	uint64_t options = PTRACE_O_TRACESYSGOOD;
	long r = sys_ptrace(PTRACE_SEIZE, tid, 0, options | PTRACE_O_SUSPEND_SECCOMP);

	if (r == -EPERM || r == -EINVAL) /* no CAP_SYS_ADMIN, or no CONFIG_CHECKPOINT_RESTORE */
		r = sys_ptrace(PTRACE_SEIZE, tid, 0, options);
	if (r < 0) {
		int why = seize_failed(t, tid, (int)r, err);

		if (why <= 0)
			return why;
	}
	/* The leader's death may still be unknown to us: then it just doesn't stop. */
	(void)sys_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	target_add_thread(t, tid);
	return 1;
}

/* Seizes the threads that aren't yet; returns how many were new. */
static int target_seize_threads(struct seizer *s, struct target *t, struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	int r = proc_list_dir(t->proc, "task", &ids), n = 0;

	if (proc_is_gone(r))
		return 0;
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): list its threads", t->pid, t->comm);
	vec_foreach (tid, &ids) {
		/* The leader goes first, as threads[0] must be it. */
		if (t->nthreads == 0 && *tid != t->pid)
			continue;
		if (!id_set_add(&s->known, *tid))
			continue;
		r = thread_seize(t, *tid, err);
		TRY(r);
		n += r;
	}
	return n;
}

static int target_add(struct seizer *s, pid_t pid, struct err *err)
{
	struct err why = ERR_INIT;
	struct target *t;
	int r = target_open(pid, &t, &why);

	if (r < 0 && why.kind == ERR_GONE && pid != s->root)
		return 0;
	if (r < 0) {
		*err = why;
		return r;
	}
	t->gadgets = gadgets_ref(s->gadgets);
	*vec_push(&s->targets) = t;
	if (t->state == TARGET_ZOMBIE)
		return 1;
	return target_seize_threads(s, t, err);
}

static bool is_known_target(const struct seizer *s, pid_t pid)
{
	for (size_t i = 0; i < s->targets.len; i++)
		if (s->targets.data[i]->pid == pid)
			return true;
	return false;
}

/* Adds the children of a process's threads; of the leader alone in the first round. */
static int target_add_children(struct seizer *s, struct target *t, bool all_threads,
			       struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	size_t n = all_threads ? t->nthreads : MIN(t->nthreads, (size_t)1);
	int added = 0;

	for (size_t i = 0; i < n; i++) {
		int r = proc_list_children(t->proc, t->threads[i]->tid, &ids);

		if (r == -ENOENT && faccessat(t->proc, "task", F_OK, 0) == 0 && i == 0)
			continue; /* this thread has died */
		if (r < 0 && !proc_is_gone(r))
			return err_sys(err, r, "pid %d (%s): list its children", t->pid, t->comm);
	}
	vec_foreach (pid, &ids) {
		/* Zombies aren't in `known`, which holds what was seized. */
		if (is_known_target(s, *pid))
			continue;
		TRY(target_add(s, *pid, err));
		added++;
	}
	return added;
}

static const struct target *child_of(const struct seizer *s, pid_t pid)
{
	for (size_t i = 0; i < s->targets.len; i++)
		if (s->targets.data[i]->ppid == pid)
			return s->targets.data[i];
	return NULL;
}

static int vfork_refuse(const struct seizer *s, const struct target_thread *th, struct err *err)
{
	const struct target *t = th->target, *child = child_of(s, t->pid);

	return err_refuse(err,
			  "raise --timeout, or wait until the child has called execve() or _exit()",
			  "pid %d (%s): waits in vfork() for its child %d (%s)", t->pid, t->comm,
			  child ? child->pid : 0, child ? child->comm : "?");
}

int thread_take_stop(struct target_thread *th, const struct stop *stop, struct err *err)
{
	struct target *t = th->target;

	switch (stop->kind) {
	case STOP_GONE:
		th->tid = 0;
		return 1;
	case STOP_GROUP:
		t->state = TARGET_STOPPED;
		t->stop_signo = stop->signo;
		break;
	case STOP_TRAP:
		break;
	case STOP_SIGNAL:
		/* Any stop consumes the interrupt: ask again, then let the signal be delivered. */
		(void)sys_ptrace(PTRACE_INTERRUPT, th->tid, 0, 0);
		TRY(thread_resume(th, RESUME_CONT, stop->signo, err));
		return 0;
	default:
		(void)sys_ptrace(PTRACE_INTERRUPT, th->tid, 0, 0);
		TRY(thread_resume(th, RESUME_CONT, 0, err));
		return 0;
	}
	th->seized = true;
	TRY(thread_save(th, err));
	TRY(thread_leave_limbo(th, err));
	return 1;
}

static bool is_dead(const struct target_thread *th)
{
	return th->tid == 0;
}

#define VFORK_PATIENCE_MS 20

/* A killed leader's death is reported only when those of its stopped threads have been taken. */
static void take_dead_threads(struct target *t)
{
	for (size_t i = 1; i < t->nthreads; i++) {
		struct target_thread *th = t->threads[i];
		struct err ignored = ERR_INIT;
		struct stop stop;

		if (th->seized && thread_poll(th, &stop, &ignored) == 1 && stop.kind == STOP_GONE) {
			th->seized = false;
			th->tid = 0;
		}
	}
}

/* Waits until the thread stands still. -EAGAIN without an error: all must be let go for a while. */
static int thread_wait_stop(const struct seizer *s, struct target_thread *th, struct err *err)
{
	struct stop stop;
	int waited = 0, r;

	for (;;) {
		r = thread_poll(th, &stop, err);
		TRY(r);
		if (r == 1) {
			struct err why = ERR_INIT;

			r = thread_take_stop(th, &stop, &why);
			if (r < 0 && why.kind == ERR_GONE) {
				th->seized =
					false; /* killed just now: its exit status comes next */
				continue;
			}
			if (r < 0 && why.code)
				*err = why;
			if (r != 0)
				return r;
			continue;
		}
		if ((waited >= VFORK_PATIENCE_MS || is_late(s)) && thread_in_vfork(th))
			return is_late(s) ? vfork_refuse(s, th, err) : -EAGAIN;
		if (is_late(s))
			return thread_refuse_late(th, err);
		wait_for_news(5);
		waited += 5;
		if (th == target_leader(th->target))
			take_dead_threads(th->target);
	}
}

/* Every thread of a process stands still, or is forgotten as dead. */
static int target_wait_stop(const struct seizer *s, struct target *t, struct err *err)
{
	bool leader_died;

	/* The leader last: its death is reported only when those of the others have been taken. */
	for (size_t i = t->nthreads; i-- > 0;)
		if (!t->threads[i]->seized && !is_dead(t->threads[i]))
			TRY(thread_wait_stop(s, t->threads[i], err));
	leader_died = t->nthreads && is_dead(target_leader(t));
	target_drop_threads(t, leader_died ? NULL : is_dead);
	return 0;
}

/* A process whose leader has died: now a zombie, or gone. */
static int target_after_death(struct target *t, struct err *err)
{
	struct err why = ERR_INIT;
	int r = target_refresh(t, &why);

	if (r == 0 && t->state == TARGET_ZOMBIE)
		return 0;
	if (r == 0 || why.kind == ERR_GONE) {
		t->died = true;
		return 0;
	}
	*err = why;
	return r;
}

static int drop_died(struct seizer *s, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < s->targets.len; i++) {
		struct target *t = s->targets.data[i];

		if (t->nthreads == 0 && t->state != TARGET_ZOMBIE)
			TRY(target_after_death(t, err));
		if (t->died && t->pid == s->root)
			return err_gone(err, "pid %d (%s): ended while it was being frozen", t->pid,
					t->comm);
		if (!t->died) {
			s->targets.data[n++] = t;
			continue;
		}
		log_debug("pid %d (%s): ended meanwhile", t->pid, t->comm);
		target_free(t);
	}
	s->targets.len = n;
	return 0;
}

/* Interrupts all that can be seen from the root, without waiting. */
static int interrupt_tree(struct seizer *s, struct err *err)
{
	TRY(target_add(s, s->root, err));
	for (size_t i = 0; i < s->targets.len; i++)
		TRY(target_add_children(s, s->targets.data[i], false, err));
	return 0;
}

/* Waits for all, and looks again. Returns how many new ones there are. */
static int settle(struct seizer *s, struct err *err)
{
	int news = 0, r;

	for (size_t i = 0; i < s->targets.len; i++)
		TRY(target_wait_stop(s, s->targets.data[i], err));
	TRY(drop_died(s, err));
	for (size_t i = 0; i < s->targets.len; i++) {
		struct target *t = s->targets.data[i];

		if (t->state == TARGET_ZOMBIE)
			continue;
		news += r = target_seize_threads(s, t, err);
		TRY(r);
		news += r = target_add_children(s, t, true, err);
		TRY(r);
	}
	return news;
}

int thread_describe(struct target_thread *th, struct err *err)
{
	struct target *t = th->target;
	char path[48], status[8192];
	uint64_t vtid, mode = 0;
	size_t levels;
	ssize_t r;

	snprintf(path, sizeof(path), "task/%d/status", th->tid);
	r = proc_read_small(t->proc, path, status, sizeof(status));
	if (proc_is_gone((int)r))
		return err_gone(err, "pid %d (%s): thread %d died", t->pid, t->comm, th->tid);
	if (r < 0)
		return err_sys(err, (int)r, "pid %d (%s): read status of thread %d", t->pid,
			       t->comm, th->tid);
	if (proc_field_last(status, "NSpid", &vtid, &levels))
		th->vtid = (pid_t)vtid;
	if (proc_field_u64(status, "Seccomp", 10, &mode) && mode)
		t->has_seccomp = true;
	return 0;
}

static int target_describe(struct target *t, struct err *err)
{
	if (t->state == TARGET_ZOMBIE)
		return 0;
	TRY(target_refresh(t, err)); /* its parent may have changed */
	for (size_t i = 0; i < t->nthreads; i++)
		TRY(thread_describe(t->threads[i], err));
	return 0;
}

/*
 * PTRACE_DETACH needs a stop. A thread that hasn't stopped yet mostly does so at once; one in
 * vfork() stays traced (and is ours at the next attempt), at the latest until we exit.
 */
void thread_let_go(struct target_thread *th, int patience)
{
	struct err ignored = ERR_INIT;
	struct stop stop;
	int signo = 0;

	while (!th->seized && th->tid) {
		int r = thread_poll(th, &stop, &ignored);

		if (r < 0 || (r == 1 && stop.kind == STOP_GONE) || (r == 0 && patience-- <= 0))
			return;
		if (r == 0) {
			wait_for_news(1);
			continue;
		}
		th->seized = true;
		signo = stop.kind == STOP_SIGNAL ? stop.signo : 0;
	}
	if (th->seized)
		ignore(thread_resume(th, RESUME_DETACH, signo, &ignored));
	th->tid = 0;
}

/* Lets everything go as it was; for failures, so errors don't count. */
static void release_all(struct seizer *s)
{
	/* Those that stand still first: a parent in vfork() may be waiting for one of them. */
	for (int patience = 0; patience <= 5; patience += 5)
		for (size_t i = 0; i < s->targets.len; i++)
			for (size_t j = 0; j < s->targets.data[i]->nthreads; j++)
				thread_let_go(s->targets.data[i]->threads[j], patience);
	for (size_t i = 0; i < s->targets.len; i++)
		target_free(s->targets.data[i]);
	vec_done(&s->targets);
	free(s->known.slots);
	s->known = (struct id_set){0};
}

/* A zombie that was seen before its parent stood still can have been reaped in between. */
static int drop_reaped(struct seizer *s, struct err *err)
{
	for (size_t i = 0; i < s->targets.len; i++) {
		struct target *t = s->targets.data[i];
		struct err why = ERR_INIT;

		if (t->state != TARGET_ZOMBIE || target_refresh(t, &why) == 0)
			continue;
		if (why.kind != ERR_GONE) {
			*err = why;
			return why.code;
		}
		t->died = true;
	}
	return drop_died(s, err);
}

/*
 * With a freezer cgroup all of the tree stands still while it is walked for the first time. Frozen
 * tasks don't answer: thawed, they go straight to the stop that was asked for.
 */
static int interrupt_frozen(struct seizer *s, struct err *err)
{
	const char *dir = s->opts->freeze_cgroup;
	struct err why = ERR_INIT;
	int r;

	if (!s->refreeze)
		TRY(freezer_freeze(dir, s->opts->timeout_ms, err));
	r = interrupt_tree(s, err);
	if (freezer_thaw(dir, &why) < 0 && r >= 0) {
		*err = why;
		r = why.code;
	}
	return r;
}

static int seize_once(struct seizer *s, struct err *err)
{
	int r;

	TRY(s->opts->freeze_cgroup ? interrupt_frozen(s, err) : interrupt_tree(s, err));
	do {
		r = settle(s, err);
		TRY(r);
	} while (r > 0);
	TRY(drop_reaped(s, err));
	for (size_t i = 0; i < s->targets.len; i++)
		TRY(target_describe(s->targets.data[i], err));
	return 0;
}

static void nap(int ms)
{
	struct timespec ts = {.tv_nsec = ms * 1000000L};

	nanosleep(&ts, NULL);
}

int tree_seize(pid_t root, const struct seize_opts *opts, struct target_tree *ret, struct err *err)
{
	struct seizer s = {.opts = opts, .root = root, .gadgets = gadgets_new()};
	int r, pause_ms = 1;

	if (opts->freeze_cgroup) {
		bool frozen = false;

		r = freezer_is_frozen(opts->freeze_cgroup, &frozen, err);
		if (r < 0) {
			gadgets_unref(s.gadgets);
			return r;
		}
		s.refreeze = frozen ? xstrdup(opts->freeze_cgroup) : NULL;
	}
	s.deadline_ms = opts->timeout_ms ? now_ms() + (uint64_t)opts->timeout_ms : 0;
	for (;;) {
		r = seize_once(&s, err);
		if (r != -EAGAIN || err->code)
			break;
		if (is_late(&s)) {
			err_sys(err, -ETIMEDOUT, "pid %d: freeze its tree", root);
			break;
		}
		release_all(&s);
		nap(pause_ms);
		pause_ms = MIN(pause_ms * 2, 100);
	}
	if (r >= 0) {
		tree_order(s.targets.data, s.targets.len, ret);
		ret->refreeze = TAKE_PTR(s.refreeze);
		vec_done(&s.targets);
		free(s.known.slots);
	} else {
		struct err ignored = ERR_INIT; /* the first one counts */

		if (s.refreeze)
			ignore(freezer_request(s.refreeze, &ignored));
		release_all(&s);
	}
	gadgets_unref(s.gadgets);
	free(s.refreeze);
	return r;
}
