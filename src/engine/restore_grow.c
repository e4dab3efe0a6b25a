/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a plan to processes. Every one of them is PTRACE_O_EXITKILL: should torpor die in here,
 * nothing of the tree is left.
 */
#include "engine/restore.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/stats.h"
#include "engine/timens.h"
#include "remote/batch.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Descriptors for mappings come and go at low numbers; the mailbox stays out of their way. */
#define MAILBOX_MIN 1000

static struct restore_task *task_of(struct restore *r, int node)
{
	return &r->tasks[node];
}

static uint32_t vpid_of(const struct restore *r, int node)
{
	return r->plan.nodes.data[node].task.vpid;
}

/* ----------------------------------------------------------------- build */

static int start_build(struct restore *r, struct err *err)
{
	auto_free struct rmem **all = xcalloc(r->plan.ntasks, sizeof(*all));
	struct build_opts opts = {.scratch_len = BUILD_SCRATCH_LEN};
	/* Ours, and the tasks' until their own limit is set. */
	uint64_t limit = fd_limit_raise();
	uint64_t hole;
	size_t n = 0;

	/* The end of torpor isn't what the root's parent death signal is about. */
	opts.orphan_root = r->o->detached && r->tasks[0].props->parent_death;
	for (size_t i = 0; i < r->plan.ntasks; i++)
		if (r->tasks[i].mem)
			all[n++] = r->tasks[i].mem;
	TRY(rmem_find_hole(all, n, opts.scratch_len, &hole, err));
	opts.scratch = raddr(hole);
	opts.mailbox = MAX(rfiles_max_fd(r->files) + 1, MAILBOX_MIN);
	if ((uint64_t)opts.mailbox >= limit)
		opts.mailbox = rfiles_max_fd(r->files) + 1;
	if ((uint64_t)opts.mailbox >= limit) {
		err_input(err, "the tree has descriptors up to %d, this machine allows %llu",
			  rfiles_max_fd(r->files), (unsigned long long)limit);
		return err_hint(err, "raise the limit of open files (ulimit -Hn) to %d",
				opts.mailbox + 1);
	}
	return build_new(&opts, &r->build, err);
}

/* --------------------------------------------------------------- the ops */

static int clone_root(struct restore *r, int node, struct err *err)
{
	uint64_t flags = r->o->restore_sibling ? CLONE_PARENT : 0;
	struct timens tn;
	int ret;

	TRY(timens_enter(&tn, r->dir, r->time_ns_id, r->arena, err));
	ret = build_root(r->build, flags, (pid_t)vpid_of(r, node), &task_of(r, node)->target, err);
	timens_leave(&tn);
	return ret;
}

static int op_clone(struct restore *r, const struct plan_op *op, struct err *err)
{
	int by = r->plan.nodes.data[op->node].creator;
	struct restore_task *t = task_of(r, op->node);
	uint64_t flags = (op->clone_parent ? CLONE_PARENT : 0) |
			 (op->clone_files ? CLONE_FILES : 0);
	uint64_t start = stats_now_us();

	if (by < 0) {
		TRY(clone_root(r, op->node, err));
	} else {
		t->inherits = task_of(r, by)->inherits;
		TRY(build_child(r->build, task_of(r, by)->target, flags,
				(pid_t)vpid_of(r, op->node), &t->target, err));
	}
	r->forking_us += stats_now_us() - start;
	return 0;
}

static int op_memory(struct restore *r, const struct plan_op *op, struct err *err)
{
	struct restore_task *t = task_of(r, op->node);

	if (!t->mem)
		return 0;
	TRY(rmem_build(t->target, t->mem, t->inherits, &r->opener, &r->mem_stats, err));
	t->inherits = t->mem;
	return 0;
}

static int call(struct target *t, struct err *err, const char *what, long nr, uint64_t a0,
		uint64_t a1)
{
	int64_t ret;

	TRY(remote_call(target_leader(t), &ret, err, nr, a0, a1));
	if (ret < 0)
		return err_sys(err, (int)ret, "pid %d: %s", t->pid, what);
	return 0;
}

static int name_zombie(struct target *t, const char *comm, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	size_t i = batch_call(b, SYS_prctl, PR_SET_NAME, batch_str(b, comm).va);

	TRY(batch_run(b, err));
	return batch_expect(b, i, err);
}

static int op_exit(struct restore *r, const struct plan_op *op, struct err *err)
{
	struct restore_task *t = task_of(r, op->node);

	if (!t->props)
		return build_exit(t->target, 0, err);
	TRY(name_zombie(t->target, t->props->comm, err));
	return build_exit(t->target, t->props->exit_code, err);
}

static int op_reap(struct restore *r, const struct plan_op *op, struct err *err)
{
	int parent = r->plan.nodes.data[op->node].parent;
	struct restore_task *t = task_of(r, op->node);

	TRY(build_reap(task_of(r, parent)->target, (pid_t)vpid_of(r, op->node), err));
	target_free(TAKE_PTR(t->target));
	return 0;
}

static int run_op(struct restore *r, const struct plan_op *op, struct err *err)
{
	struct target *t = task_of(r, op->node)->target;

	switch (op->kind) {
	case PLAN_CLONE:
		return op_clone(r, op, err);
	case PLAN_MEMORY:
		return op_memory(r, op, err);
	case PLAN_SETSID:
		TRY(call(t, err, "setsid", SYS_setsid, 0, 0));
		/* Children inherit it: before the next clone. */
		return rfiles_take_terminal(r->files, t, err);
	case PLAN_SUBREAPER:
		return call(t, err, "becoming a child subreaper", SYS_prctl, PR_SET_CHILD_SUBREAPER,
			    1);
	case PLAN_SETPGID:
		return call(t, err, "setpgid", SYS_setpgid, 0, op->arg);
	case PLAN_EXIT:
		return op_exit(r, op, err);
	case PLAN_REAP:
		return op_reap(r, op, err);
	}
	return err_bug(err, "plan: operation %d", op->kind);
}

/* Whose memory each task starts with: plays the plan. A helper hands on what it was cloned with. */
static void compare_memory(struct restore *r)
{
	size_t n = r->plan.nodes.len, ntasks = 0;
	auto_free int *holds = xcalloc(n, sizeof(*holds));
	auto_free int *base = xcalloc(n, sizeof(*base));
	auto_free struct rmem **all = xcalloc(n, sizeof(*all));

	vec_foreach (op, &r->plan.ops) {
		int by = r->plan.nodes.data[op->node].creator;

		if (op->kind == PLAN_CLONE) {
			holds[op->node] = by < 0 ? -1 : holds[by];
		} else if (op->kind == PLAN_MEMORY && task_of(r, op->node)->mem) {
			base[ntasks] = holds[op->node];
			all[ntasks] = task_of(r, op->node)->mem;
			holds[op->node] = (int)ntasks++;
		}
	}
	rmem_share(all, base, ntasks);
}

int restore_grow(struct restore *r, struct err *err)
{
	/* What falls out of the tree while it is half made comes to us, to be reaped. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_sys(err, -errno, "becoming a child subreaper");
	compare_memory(r);
	TRY(start_build(r, err));
	vec_foreach (op, &r->plan.ops)
		TRY(run_op(r, op, err));
	return 0;
}

/* ------------------------------------------------------------------ kill */

void restore_kill(struct restore *r)
{
	if (!r->tasks)
		return;
	for (size_t i = 0; i < r->plan.nodes.len; i++) {
		if (!r->tasks[i].target)
			continue;
		build_kill(r->tasks[i].target);
		/* Children of a dead parent are ours now (see restore_grow). */
		while (waitpid((pid_t)r->tasks[i].target->pid, NULL, __WALL) < 0 && errno == EINTR)
			;
		target_free(TAKE_PTR(r->tasks[i].target));
	}
}
