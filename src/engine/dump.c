/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dump verb, top to bottom in run_dump(). Everything that can be refused is refused before
 * memory is written; the inventory is written last, so that images without one are those of a
 * dump that didn't end.
 */
#include "engine/engine.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/chain.h"
#include "engine/dedup.h"
#include "engine/file_opts.h"
#include "engine/ids.h"
#include "engine/script.h"
#include "engine/stats.h"
#include "engine/timens.h"
#include "engine/tree.h"
#include "file/files.h"
#include "image/inventory.h"
#include "image/schema/pstree.pb-c.h"
#include "image/sums.h"
#include "mem/dump.h"
#include "remote/batch.h"
#include "remote/seize.h"
#include "task/task.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* One live process of the tree, beside what `target` knows. */
struct dump_task {
	struct target *target;
	struct task_ids ids;
	struct mem mem;
};

struct dump {
	const struct options *o;
	const struct img_dir *dir;
	struct arena *arena;
	struct target_tree tree;
	struct chain chain;
	struct dump_task *tasks; /* live ones, in tree order */
	size_t ntasks;
	struct ids *ids;
	struct files *files;
	struct policies policies;
	struct tasks *props;
	struct mem_stats mem_stats;
	bool used_cow;
	bool touched_trackers;
	uint64_t start_us, frozen_us, released_us, memdump_us;
};

/* ---------------------------------------------------------------- freeze */

static int freeze(struct dump *d, struct err *err)
{
	const struct seize_opts opts = {
		.timeout_ms = (int)MIN(d->o->timeout_s, 1000000u) * 1000,
		.freeze_cgroup = d->o->freeze_cgroup,
	};

	(void)fd_limit_raise(); /* each task takes some */
	d->start_us = stats_now_us();
	TRY(tree_seize(d->o->pid, &opts, &d->tree, err));
	d->frozen_us = stats_now_us();
	d->tasks = arena_array_of(d->arena, struct dump_task, d->tree.n);
	for (size_t i = 0; i < d->tree.n; i++)
		if (d->tree.targets[i]->state != TARGET_ZOMBIE)
			d->tasks[d->ntasks++].target = d->tree.targets[i];
	log_info("froze %zu processes in %llu us", d->tree.n,
		 (unsigned long long)(d->frozen_us - d->start_us));
	if (d->tree.targets[0]->state == TARGET_ZOMBIE)
		return err_refuse(err, "there is nothing to dump of it", "pid %d (%s) is a zombie",
				  d->tree.targets[0]->pid, d->tree.targets[0]->comm);
	return 0;
}

/* Is it noted what the tree writes from now on? */
static bool tracks_on(const struct dump *d)
{
	return d->o->track_mem && (d->o->leave_running || d->o->leave_stopped);
}

/* --------------------------------------------------------------- collect */

static int collect_files(struct dump *d, struct dump_task *t, struct err *err)
{
	vec_foreach (v, &t->mem.vmas) {
		if (vma_needs_file(v))
			TRY(files_dump_mapping(d->files, t->target, v, err));
	}
	TRY(files_dump_link(d->files, t->target, "exe", &t->mem.exe_file_id, err));
	return 0;
}

/* All that can be seen from outside, with its refusals. */
static int collect(struct dump *d, struct err *err)
{
	uint32_t last_files = ids_own(d->ids)->files;

	for (size_t i = 0; i < d->ntasks; i++) {
		struct dump_task *t = &d->tasks[i];

		TRY(ids_of(d->ids, t->target, &t->ids, err));
		TRY(mem_collect(t->target, &t->mem, err));
		TRY(collect_files(d, t, err));
		if (t->ids.files > last_files) { /* a table that wasn't met before */
			last_files = t->ids.files;
			TRY(files_dump_task(d->files, t->target, t->ids.files, err));
		}
		TRY(files_dump_fs(d->files, t->target, err));
	}
	return files_dump_collected(d->files, err);
}

/* ----------------------------------------------------------------- write */

/*
 * Would the parent still be told of the stop by waitid()? Only itself can ask; it is entered, as
 * parents come first.
 */
static int ask_stop(struct dump *d, struct target *t, struct err *err)
{
	struct target *parent = t->state == TARGET_STOPPED ? tree_parent(&d->tree, t) : NULL;
	int64_t ret;

	if (!parent)
		return 0;
	auto_batch struct batch *b = batch_new(target_leader(parent));
	raddr_t info = batch_space(b, sizeof(siginfo_t));
	size_t i = batch_call(b, SYS_waitid, P_PID, (uint64_t)t->vpid, info.va,
			      WSTOPPED | WNOHANG | WNOWAIT);

	TRY(batch_run(b, err));
	ret = batch_ret(b, i);
	t->stop_untold = ret == 0 && ((siginfo_t *)batch_data(b, info))->si_pid == t->vpid;
	return 0;
}

static int write_task(struct dump *d, struct dump_task *t, struct err *err)
{
	TRY(remote_enter(target_leader(t->target), err));
	TRY(ask_stop(d, t->target, err));
	TRY(task_dump(d->props, t->target, err));
	TRY(mem_query(t->target, &t->mem, err));
	TRY(mem_write_mm(d->dir, t->target, &t->mem, err));
	return ids_write(d->dir, (uint32_t)t->target->vpid, &t->ids, err);
}

static int write_tasks(struct dump *d, struct err *err)
{
	for (size_t i = 0; i < d->ntasks; i++)
		TRY(write_task(d, &d->tasks[i], err));
	for (size_t i = 0; i < d->tree.n; i++)
		if (d->tree.targets[i]->state == TARGET_ZOMBIE)
			TRY(task_dump(d->props, d->tree.targets[i], err));
	return tasks_finish(d->props, err);
}

/* A task that can't be tracked is stored in full next time. */
static struct tracker *track(struct dump *d, struct target *t)
{
	struct tracker *tr = chain_tracker(&d->chain, t);
	struct err why = ERR_INIT;

	if (tr || !tracks_on(d))
		return tr;
	if (tracker_attach(t, d->chain.kind, &tr, &why) >= 0)
		chain_add_tracker(&d->chain, tr);
	else
		log_warn("pid %d (%s): isn't tracked: %s", t->pid, t->comm, why.text);
	return chain_tracker(&d->chain, t);
}

static int write_memory(struct dump *d, struct err *err)
{
	const struct mem_dump_opts opts = {
		.dir = d->dir,
		.parent = chain_memory_parent(&d->chain),
		.cow = !d->o->compat_images,
		.restart = tracks_on(d),
	};
	auto_free struct mem_task *tasks = xcalloc(d->ntasks, sizeof(*tasks));
	uint64_t start = stats_now_us();

	d->touched_trackers = true;
	for (size_t i = 0; i < d->ntasks; i++) {
		struct dump_task *t = &d->tasks[i];

		tasks[i] = (struct mem_task){t->target, &t->mem, track(d, t->target)};
	}
	TRY(mem_write_tree(&opts, tasks, d->ntasks, &d->mem_stats, &d->used_cow, err));
	chain_select(&d->chain, d->tree.targets, d->tree.n);
	d->memdump_us = stats_now_us() - start;
	return 0;
}

static int write_tree_entry(struct dump *d, struct img_writer *w, const struct target *t,
			    struct err *err)
{
	size_t n = t->state == TARGET_ZOMBIE ? 1 : t->nthreads;
	PstreeEntry e = PSTREE_ENTRY__INIT;
	auto_free uint32_t *threads = xcalloc(n, sizeof(*threads));

	e.pid = (uint32_t)t->vpid;
	e.ppid = t == d->tree.targets[0] ? 0 : (uint32_t)tree_parent(&d->tree, t)->vpid;
	TRY(tree_session(t, &e.sid, &e.pgid, err));
	/* A zombie has one thread, number 0. */
	for (size_t i = 0; i < n && t->state != TARGET_ZOMBIE; i++)
		threads[i] = (uint32_t)t->threads[i]->vtid;
	e.n_threads = n;
	e.threads = threads;
	return img_put(w, &e.base, err);
}

static int write_tree(struct dump *d, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;

	TRY(img_create(d->dir, IMG_PSTREE, 0, &w, err));
	for (size_t i = 0; i < d->tree.n; i++)
		TRY(write_tree_entry(d, w, d->tree.targets[i], err));
	return img_close(TAKE_PTR(w), err);
}

static int write_clocks(struct dump *d, struct err *err)
{
	uint32_t own = ids_own(d->ids)->ns[NS_TIME], root = d->tasks[0].ids.ns[NS_TIME];

	if (!own)
		return 0;
	for (size_t i = 1; i < d->ntasks; i++)
		if (d->tasks[i].ids.ns[NS_TIME] != root)
			return err_refuse(err, "a tree has to be in one time namespace",
					  "pid %d (%s) is in another time namespace than pid %d",
					  d->tasks[i].target->pid, d->tasks[i].target->comm,
					  d->tasks[0].target->pid);
	return timens_dump(d->dir, root == own ? 0 : root, d->tasks[0].target, err);
}

static int write_inventory(struct dump *d, struct err *err)
{
	struct inventory_chain *chain = &d->chain.self;

	chain->cow |= d->used_cow;
	if (!d->o->track_mem)
		chain->uptime_us = 0;
	return ids_write_inventory(d->ids, d->dir, chain, err);
}

/* The dump is done: without its figures it is a dump all the same. */
static void write_stats(struct dump *d)
{
	const struct mem_stats *m = &d->mem_stats;
	const struct dump_stats s = {
		.freezing_us = d->frozen_us - d->start_us,
		.frozen_us = d->released_us - d->frozen_us,
		.memdump_us = d->memdump_us,
		.memwrite_us = m->write_us,
		.pages_scanned = m->pages_scanned,
		.pages_written = m->pages_written,
		.pages_lazy = m->pages_lazy,
		.shpages_scanned = m->shpages_scanned,
		.shpages_written = m->shpages_written,
		.shpages_skipped_parent = m->shpages_skipped_parent,
		.pages_skipped_parent = m->pages_skipped_parent,
	};
	struct err err = ERR_INIT;

	if (stats_write_dump(d->dir, &s, &err) < 0)
		log_warn("%s", err.text);
}

/* ------------------------------------------------------------------- end */

static enum tree_fate fate_of(const struct options *o)
{
	if (o->leave_running)
		return TREE_RUN;
	return o->leave_stopped ? TREE_STOP : TREE_KILL;
}

static int release(struct dump *d, enum tree_fate fate, struct err *err)
{
	int ret = d->tree.n ? tree_release(&d->tree, fate, err) : 0;

	d->tree.n = 0;
	d->released_us = stats_now_us();
	return ret;
}

static int run_dump(struct dump *d, struct err *err)
{
	enum tracker_kind kind;

	TRY(file_policies_of(d->o, d->arena, &d->policies, err));
	TRY(scripts_run(d->o, d->dir, SCRIPT_PRE_DUMP, d->o->pid, err));
	TRY(tree_check_pid(d->o->pid, err));
	TRY(chain_choose_tracker(d->o, &kind, err));
	TRY(inventory_remove(d->dir, err));
	TRY(chain_begin(&d->chain, d->o, d->dir, kind, err));
	TRY(freeze(d, err));
	TRY(tree_check_sessions(&d->tree, d->o->shell_job, err));
	TRY(collect(d, err));
	TRY(write_tasks(d, err));
	TRY(write_memory(d, err));
	d->mem_stats.shared_parent = d->chain.parent;
	TRY(files_dump_finish(d->files, &d->mem_stats, err));
	TRY(write_tree(d, err));
	TRY(write_clocks(d, err));
	TRY(write_inventory(d, err));
	TRY(img_sums_write(d->dir, err));
	if (scripts_run(d->o, d->dir, SCRIPT_POST_DUMP, d->o->pid, err) < 0)
		return err->code = -ECANCELED;
	/* The point of no return: the images are complete. */
	TRY(release(d, fate_of(d->o), err));
	write_stats(d);
	if (tracks_on(d))
		chain_keep(&d->chain);
	dedup_parents(d->o, d->dir);
	return 0;
}

static void dump_init(struct dump *d, const struct options *o, const struct img_dir *dir)
{
	struct file_opts fo = file_opts_of(o);

	*d = (struct dump){.o = o, .dir = dir, .arena = arena_new()};
	fo.leave_running = o->leave_running || o->leave_stopped;
	fo.policies = &d->policies;
	d->mem_stats.next_pages_id = 1;
	d->chain.parent_dir.fd = -EBADF;
	d->files = files_new(dir, &fo, d->arena);
	d->props = tasks_new(dir, d->arena);
}

static void dump_done(struct dump *d)
{
	for (size_t i = 0; i < d->ntasks; i++)
		mem_done(&d->tasks[i].mem);
	chain_done(&d->chain);
	files_free(d->files);
	policies_done(&d->policies);
	ids_free(d->ids);
	arena_free(d->arena);
}

int engine_dump(const struct options *o, const struct img_dir *dir, struct err *err)
{
	struct err later = ERR_INIT;
	struct dump d;
	int ret;

	dump_init(&d, o, dir);
	ret = ids_new(&d.ids, err);
	if (ret == 0)
		ret = run_dump(&d, err);
	if (release(&d, TREE_RUN, &later) < 0)
		log_warn("letting the tree run again: %s", later.text);
	if (ret == DUMP_SCRIPT_FAILED && tracks_on(&d))
		chain_keep(&d.chain); /* the images are complete */
	else if (ret < 0 && !d.touched_trackers)
		chain_put_back(&d.chain);
	if (ret < 0 || o->leave_running)
		files_dump_undo(d.files);
	dump_done(&d);
	return ret;
}
