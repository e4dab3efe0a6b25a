/* SPDX-License-Identifier: Apache-2.0 */
/* The restore verb, top to bottom in run_restore(). */
#include "engine/restore.h"

#include "base/auto.h"
#include "base/log.h"
#include "engine/dedup.h"
#include "engine/engine.h"
#include "engine/pidfile.h"
#include "engine/script.h"
#include "engine/stats.h"

#include <signal.h>
#include <sys/prctl.h>

/* Live tasks, in the order of the tree: parents first. */
#define for_each_alive(r, t)                                                                       \
	for (struct restore_task *t = (r)->tasks; t < (r)->tasks + (r)->plan.ntasks; t++)          \
		if (t->mem)

static pid_t root_pid(const struct restore *r)
{
	return r->tasks[0].target->pid;
}

/* Needs descriptor tables empty: before files. */
static int finish_memory(struct restore *r, struct err *err)
{
	for_each_alive(r, t) TRY(rmem_finish(t->target, t->mem, &r->opener, err));
	return 0;
}

static int restore_files(struct restore *r, struct err *err)
{
	for_each_alive(r, t)
	{
		if (t->owns_files)
			TRY(rfiles_install(r->files, t->target, t->files_id, err));
	}
	for_each_alive(r, t) TRY(rfiles_restore_fs(r->files, t->target, err));
	return rfiles_finish(r->files, err);
}

static int start_threads(struct restore *r, struct err *err)
{
	for_each_alive(r, t)
	{
		size_t n = t->props->nthreads - 1;
		auto_free pid_t *vtids = xcalloc(n, sizeof(*vtids));

		if (!n)
			continue;
		for (size_t i = 0; i < n; i++)
			vtids[i] = (pid_t)t->vtids[i + 1];
		TRY(build_threads(r->build, t->target, vtids, n, err));
	}
	return 0;
}

static int restore_props(struct restore *r, struct err *err)
{
	for_each_alive(r, t)
	{
		TRY(rtask_restore(t->target, t->props, err));
		TRY(rmem_finish_late(t->target, t->mem, err));
	}
	return 0;
}

static int write_pidfile(struct restore *r, struct err *err)
{
	if (!r->o->pidfile)
		return 0;
	TRY(pidfile_write(r->dir, r->o->pidfile, root_pid(r), err));
	r->has_pidfile = true;
	return 0;
}

static int stop_signal(const struct restore *r, const struct restore_task *t)
{
	if (t->props->state == RTASK_STOPPED)
		return t->props->stop_signo ? t->props->stop_signo : SIGSTOP;
	return r->o->leave_stopped ? SIGSTOP : 0;
}

static int stop_task(struct restore *r, size_t i, struct err *err)
{
	struct restore_task *t = &r->tasks[i];
	int signo = stop_signal(r, t), parent = r->plan.nodes.data[i].parent;

	if (!signo)
		return 0;
	TRY(build_stop(t->target, signo, err));
	if (parent < 0 || t->props->stop_untold)
		return 0;
	return build_forget_stop(r->tasks[parent].target, t->target->vpid, err);
}

/*
 * Signals and timers last: from here to the first instruction of the program it is short.
 * Children first: what their parents hear of them now (SIGCHLD) is forgotten when it is their turn.
 */
static int make_ready(struct restore *r, struct err *err)
{
	for (size_t i = r->plan.ntasks; i-- > 0;) {
		struct restore_task *t = &r->tasks[i];

		if (!t->mem)
			continue;
		TRY(rtask_restore_late(t->target, t->props, err));
		TRY(build_strip(t->target, err));
		TRY(rtask_set_states(t->target, t->props, err));
		TRY(stop_task(r, i, err));
	}
	return 0;
}

static void commit(struct restore *r)
{
	auto_free struct target **alive = xcalloc(r->plan.ntasks, sizeof(*alive));
	struct target_tree tree = {.targets = alive};

	for_each_alive(r, t) alive[tree.n++] = t->target;
	build_commit(&tree);
}

/*
 * Children before parents, so that nobody runs before all below it are ready to. Whom somebody
 * kills meanwhile is a restored program that was killed: the others are let go all the same.
 */
static void release(struct restore *r)
{
	commit(r);
	for (size_t i = r->plan.ntasks; i-- > 0;) {
		struct restore_task *t = &r->tasks[i];
		struct err err = ERR_INIT;

		if (t->mem && build_release(t->target, &err) < 0)
			log_warn("%s", err.text);
		target_free(TAKE_PTR(t->target));
	}
}

static void write_stats(struct restore *r, uint64_t start_us)
{
	const struct restore_stats s = {
		.pages_compared = r->mem_stats.pages_compared,
		.pages_skipped_cow = r->mem_stats.pages_skipped_cow,
		.pages_restored = r->mem_stats.pages_restored,
		.forking_us = r->forking_us,
		.restore_us = stats_now_us() - start_us,
	};
	struct err err = ERR_INIT;

	if (stats_write_restore(r->dir, &s, &err) < 0)
		log_warn("%s", err.text); /* programs run already */
}

/* Scripts whose failure can't undo anything any more. */
static void run_late_scripts(struct restore *r, const char *action, pid_t root)
{
	struct err err = ERR_INIT;

	if (scripts_run(r->o, r->dir, action, root, &err) < 0)
		log_warn("%s", err.text);
}

static int run_restore(struct restore *r, struct err *err)
{
	uint64_t start = stats_now_us();
	pid_t root;

	TRY(scripts_run(r->o, r->dir, SCRIPT_PRE_RESTORE, 0, err));
	TRY(restore_load(r, err));
	TRY(restore_check(r, err));
	TRY(rfiles_prepare(r->files, err));
	TRY(restore_grow(r, err));
	TRY(finish_memory(r, err));
	restore_track(r);
	/* Threads first: files may belong to one (F_OWNER_TID, /proc/PID/task/TID). */
	TRY(start_threads(r, err));
	TRY(restore_files(r, err));
	TRY(restore_props(r, err));
	root = root_pid(r);
	TRY(scripts_run(r->o, r->dir, SCRIPT_POST_RESTORE, root, err));
	TRY(write_pidfile(r, err));
	TRY(make_ready(r, err));
	TRY(rfiles_cut_back(r->files, err));
	run_late_scripts(r, SCRIPT_PRE_RESUME, root);
	/* The point of no return: programs run. */
	release(r);
	restore_keep(r, root);
	rfiles_commit(r->files);
	dedup_restored(r->o, r->store);
	write_stats(r, start);
	run_late_scripts(r, SCRIPT_POST_RESUME, root);
	dedup_restored(r->o, r->store);
	return 0;
}

static void restore_done(struct restore *r)
{
	for (size_t i = 0; r->tasks && i < r->plan.ntasks; i++)
		rmem_free(r->tasks[i].mem);
	keeper_done(&r->keeper);
	build_free(r->build);
	rfiles_free(r->files);
	policies_done(&r->policies);
	mem_common_free(r->mem_common);
	pool_free(r->pool);
	readahead_free(r->readahead);
	page_store_close(r->store);
	plan_done(&r->plan);
	arena_free(r->arena);
}

int engine_restore(const struct options *o, const struct img_dir *dir, struct err *err)
{
	struct restore r = {.o = o, .dir = dir, .arena = arena_new()};
	int ret = run_restore(&r, err);

	if (ret < 0) {
		restore_kill(&r);
		if (r.files)
			rfiles_undo(r.files);
		if (r.has_pidfile)
			pidfile_remove(dir, o->pidfile);
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0); /* was set to reap what falls out while failing */
	restore_done(&r);
	return ret;
}

int engine_restore_dry_run(const struct options *o, const struct img_dir *dir, struct err *err)
{
	struct restore r = {.o = o, .dir = dir, .arena = arena_new()};
	int ret = restore_load(&r, err);

	if (ret == 0) {
		printf("Processes:\n");
		plan_print(&r.plan, stdout);
		printf("Files:\n");
		rfiles_print_plan(r.files);
		ret = restore_check(&r, err);
	}
	restore_done(&r);
	return ret;
}
