/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-dump verb, top to bottom in run_pre_dump(). The tree runs; processes are stopped one at
 * a time, only to make what tracks them, and only where there is none yet.
 *
 * Whatever fails: the tree is as it was, the trackers are gone (so that the next dump is a full
 * one), and there is no inventory. A process that can't be tracked or read is no failure: it is in
 * the dump that follows, in full.
 */
#include "engine/engine.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/chain.h"
#include "engine/dedup.h"
#include "engine/stats.h"
#include "engine/tree.h"
#include "image/sums.h"
#include "kernel/sys.h"
#include "mem/maps.h"
#include "mem/running.h"
#include "mem/shmem.h"
#include "remote/batch.h"
#include "remote/borrow.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/stat.h>

struct pre_dump {
	const struct options *o;
	const struct img_dir *dir;
	struct target_tree tree;
	struct chain chain;
	struct maps_ctx maps_ctx;
	struct maps maps;
	struct cow_map *cow;
	struct mem_stats stats;
	uint64_t start_us, copy_us;
	uint64_t stopped_us, longest_stop_us;
};

/* --------------------------------------------------------------- trackers */

static void note_stop(struct pre_dump *p, uint64_t us)
{
	p->stopped_us += us;
	p->longest_stop_us = MAX(p->longest_stop_us, us);
}

static void say_untracked(const struct target *t, const struct err *why)
{
	log_warn("pid %d (%s): isn't tracked, the dump will have all of its memory: %s", t->pid,
		 t->comm, why->text);
}

/*
 * soft-dirty needs nothing of the process. For uffd-wp all its threads stand still: what another
 * one forks in the meantime would have the descriptor (and our scratch area) forever.
 */
static int make_tracker(struct pre_dump *p, struct target *t, struct tracker **ret, struct err *err)
{
	struct err why = ERR_INIT;
	uint64_t us;
	int r;

	if (p->chain.kind != TRACKER_UFFD_WP)
		return tracker_attach(t, p->chain.kind, ret, err);
	TRY(task_borrow(t, /* to_enter= */ true, err));
	r = remote_enter(target_leader(t), err);
	if (r >= 0)
		r = tracker_attach(t, p->chain.kind, ret, err);
	if (task_return(t, &us, &why) < 0 && r >= 0) {
		tracker_free(*ret);
		*err = why;
		r = why.code;
	}
	note_stop(p, us);
	return r;
}

/*
 * The child of a vfork(), or of a posix_spawn(), until it calls execve(): its memory is its
 * parent's, copied with it, and two can't track it.
 */
static bool has_parents_memory(const struct target *t)
{
	return sys_kcmp(t->pid, t->ppid, KCMP_VM, 0, 0) == 0;
}

static void track(struct pre_dump *p, struct target *t)
{
	struct err why = ERR_INIT;
	struct tracker *tr = NULL;

	if (!p->chain.kind || t->state == TARGET_ZOMBIE || chain_tracker(&p->chain, t) ||
	    has_parents_memory(t))
		return;
	if (make_tracker(p, t, &tr, &why) >= 0)
		chain_add_tracker(&p->chain, tr);
	else if (why.kind != ERR_GONE)
		say_untracked(t, &why);
}

/* ----------------------------------------------------------------- memory */

/* A guess, as the tasks run: it is checked when they have been copied. */
static void find_cow(struct pre_dump *p)
{
	auto_free struct cow_task *tasks = xcalloc(p->tree.n, sizeof(*tasks));
	auto_free struct maps *maps = xcalloc(p->tree.n, sizeof(*maps));
	struct err ignored = ERR_INIT;

	if (p->o->compat_images || p->tree.n < 2)
		return;
	for (size_t i = 0; i < p->tree.n; i++) {
		struct target *t = p->tree.targets[i];

		if (t->state == TARGET_ZOMBIE || maps_read(&p->maps_ctx, t, &maps[i], &ignored) < 0)
			maps[i].vmas.len = 0; /* it has nothing to share */
		tasks[i] = (struct cow_task){t, maps[i].vmas.data, maps[i].vmas.len};
	}
	p->cow = cow_find(tasks, p->tree.n);
	for (size_t i = 0; i < p->tree.n; i++)
		maps_done(&maps[i]);
}

static int copy_task(struct pre_dump *p, size_t task, struct err *err)
{
	const struct running_opts ro = {
		.dir = p->dir,
		.parent = chain_memory_parent(&p->chain),
		.cow = p->cow,
		.tasks = p->tree.targets,
		.used_cow = &p->chain.self.cow,
	};
	struct target *t = p->tree.targets[task];
	struct err why = ERR_INIT;
	uint64_t us = 0;
	int r;

	if (t->state == TARGET_ZOMBIE || has_parents_memory(t))
		return 0;
	r = maps_read(&p->maps_ctx, t, &p->maps, &why);
	if (r >= 0)
		r = running_write(&ro, task, chain_tracker(&p->chain, t), &p->maps.vmas, &p->stats,
				  &us, &why);
	if (us)
		note_stop(p, us);
	if (r >= 0 || why.kind == ERR_GONE)
		return 0;
	*err = why;
	return r;
}

/* Of what the mapping shows; -errno, where somebody has unmapped it meanwhile, too. */
static int open_object(const struct shared_object *o, struct stat *ret)
{
	auto_close int fd = -EBADF;
	char path[80];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, o->pid, o->start,
		 o->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret) < 0)
		return -errno;
	return ret->st_ino == o->ino ? TAKE_FD(fd) : -ENOENT;
}

/* A file that isn't complete mustn't be taken for one that is. */
static void forget_object(const struct pre_dump *p, const struct shared_object *o)
{
	char name[IMG_NAME_MAX];

	img_name(IMG_PAGEMAP_SHMEM, (uint32_t)o->ino, name);
	(void)unlinkat(p->dir->fd, name, 0); /* it may not have been made */
}

static void copy_object(struct pre_dump *p, const struct shared_object *o)
{
	struct err why = ERR_INIT;
	struct stat st = {0};
	auto_close int fd = open_object(o, &st);

	if (fd < 0) {
		log_debug("shared object %" PRIu64 " of pid %d: %s", o->ino, o->pid, strerror(-fd));
		return;
	}
	if (shmem_dump(p->dir, fd, (uint32_t)o->ino, (uint64_t)st.st_size, p->chain.parent,
		       &p->stats, &why) >= 0)
		return;
	log_info("left to the dump: %s", why.text);
	forget_object(p, o);
}

static int copy_memory(struct pre_dump *p, struct err *err)
{
	uint64_t start = stats_now_us();

	TRY(maps_ctx_init(&p->maps_ctx, p->tree.targets[0], err));
	find_cow(p);
	for (size_t i = 0; i < p->tree.n; i++) {
		TRY(copy_task(p, i, err));
		for (size_t j = 0; j < p->tree.n; j++)
			task_let_go(p->tree.targets[j]);
	}
	vec_foreach (o, &p->maps.shared)
		copy_object(p, o);
	p->copy_us = stats_now_us() - start;
	return 0;
}

/* -------------------------------------------------------------------- end */

static void write_stats(const struct pre_dump *p)
{
	const struct mem_stats *m = &p->stats;
	const struct dump_stats s = {
		.frozen_us = p->stopped_us,
		.memdump_us = p->copy_us,
		.memwrite_us = m->write_us,
		.pages_scanned = m->pages_scanned,
		.pages_skipped_parent = m->pages_skipped_parent,
		.pages_written = m->pages_written,
		.pages_lazy = m->pages_lazy,
		.shpages_scanned = m->shpages_scanned,
		.shpages_skipped_parent = m->shpages_skipped_parent,
		.shpages_written = m->shpages_written,
	};
	struct err err = ERR_INIT;

	if (stats_write_dump(p->dir, &s, &err) < 0)
		log_warn("%s", err.text);
}

static int left_out(void *ctx, const struct err *why)
{
	log_warn("left to the dump: %s", why->text);
	return 0;
}

static int write_end(struct pre_dump *p, struct err *err)
{
	p->chain.self.pre_dump = true;
	TRY(inventory_write_pre_dump(p->dir, &p->chain.self, err));
	return img_sums_write(p->dir, err);
}

static int run_pre_dump(struct pre_dump *p, struct err *err)
{
	enum tracker_kind kind;

	TRY(tree_check_pid(p->o->pid, err));
	TRY(chain_choose_tracker(p->o, &kind, err));
	TRY(inventory_remove(p->dir, err));
	TRY(chain_begin(&p->chain, p->o, p->dir, kind, err));
	(void)fd_limit_raise(); /* each task takes some */
	TRY(tree_list(p->o->pid, left_out, NULL, &p->tree, err));
	task_borrow_share(p->tree.targets, p->tree.n);
	for (size_t i = 0; i < p->tree.n; i++)
		track(p, p->tree.targets[i]);
	TRY(copy_memory(p, err));
	TRY(write_end(p, err));
	write_stats(p);
	chain_select(&p->chain, p->tree.targets, p->tree.n);
	chain_keep(&p->chain);
	dedup_parents(p->o, p->dir);
	return 0;
}

int engine_pre_dump(const struct options *o, const struct img_dir *dir, struct err *err)
{
	struct pre_dump p = {.o = o, .dir = dir, .start_us = stats_now_us()};
	int ret;

	p.stats.next_pages_id = 1;
	p.chain.parent_dir.fd = -EBADF;
	ret = run_pre_dump(&p, err);
	if (ret >= 0)
		log_info("%" PRIu64 " pages copied, %" PRIu64
			 " left to the parent images, in %" PRIu64 " us; stopped %" PRIu64
			 " us in all, %" PRIu64 " us at a time",
			 p.stats.pages_written, p.stats.pages_skipped_parent,
			 stats_now_us() - p.start_us, p.stopped_us, p.longest_stop_us);
	tree_list_free(&p.tree);
	cow_map_free(p.cow);
	maps_done(&p.maps);
	maps_ctx_done(&p.maps_ctx);
	chain_done(&p.chain);
	return ret;
}
