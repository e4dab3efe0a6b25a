/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/restore.h"

#include "base/auto.h"
#include "base/log.h"
#include "engine/file_opts.h"
#include "engine/stats.h"
#include "image/check.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "image/sums.h"
#include "kernel/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

typedef VEC(PstreeEntry *) pstree_vec;

#define ZOMBIE_WAIT_US (3 * 1000 * 1000)

/* ------------------------------------------------------------------ load */

static int read_pstree(struct restore *r, pstree_vec *ret, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	PstreeEntry *e;
	int got;

	TRY(img_open(r->dir, IMG_PSTREE, 0, &rd, err));
	while ((got = img_get(rd, r->arena, &e, err)) > 0)
		*vec_push(ret) = e;
	return got;
}

/* Namespaces that were dumped would have to be made again. */
static int check_namespaces(const struct restore *r, const TaskKobjIdsEntry *ids, uint32_t pid,
			    struct err *err)
{
	static const char *const names[] = {"pid",  "net", "ipc",  "uts",
					    "time", "mnt", "user", "cgroup"};
	const uint32_t got[] = {
		ids->pid_ns_id,	 ids->net_ns_id, ids->ipc_ns_id,  ids->uts_ns_id,
		ids->time_ns_id, ids->mnt_ns_id, ids->user_ns_id, ids->cgroup_ns_id,
	};

	for (size_t k = 0; k < ARRAY_SIZE(got); k++) {
		if (k == 4 || got[k] == r->inventory.ns_ids[k])
			continue;
		return err_refuse(err, "dump from inside the namespaces of the tree instead",
				  "pid %u has a %s namespace of its own in the image, which isn't "
				  "supported yet",
				  pid, names[k]);
	}
	return 0;
}

static int load_ids(struct restore *r, const PstreeEntry *e, struct plan_task *t, bool root,
		    struct err *err)
{
	TaskKobjIdsEntry *ids;

	TRY(img_read_one(r->dir, IMG_IDS, e->pid, r->arena, &ids, err));
	TRY(check_namespaces(r, ids, e->pid, err));
	t->files_id = ids->files_id;
	if (root && ids->has_time_ns_id && ids->time_ns_id != r->inventory.root_time_ns_id)
		r->time_ns_id = ids->time_ns_id;
	return 0;
}

static int load_task(struct restore *r, const PstreeEntry *e, struct plan_task *t,
		     struct restore_task *rt, bool root, struct err *err)
{
	TRY(rtask_load(r->props, e->pid, e->threads, e->n_threads, &rt->props, err));
	*t = (struct plan_task){
		.vpid = e->pid,
		.ppid = e->ppid,
		.pgid = e->pgid,
		.sid = e->sid,
		.zombie = rt->props->state == RTASK_DEAD,
		.subreaper = rt->props->child_subreaper,
	};
	if (t->zombie)
		return 0;
	TRY(load_ids(r, e, t, root, err));
	rt->files_id = t->files_id;
	rt->vtids = e->threads;
	TRY(rmem_load(r->dir, r->store, e->pid, r->arena, &rt->mem, err));
	if (page_store_depth(r->store) > 1)
		readahead_map(r->readahead, rt->mem->pages);
	return 0;
}

/* Helpers get entries as well, behind the tasks. */
static void size_tasks(struct restore *r, struct restore_task *loaded, size_t n)
{
	r->tasks = arena_array_of(r->arena, struct restore_task, r->plan.nodes.len);
	memcpy(r->tasks, loaded, n * sizeof(*loaded));
}

/* A table belongs to its first task; a later one must get it from the task that clones it. */
static int check_shared_tables(struct restore *r, struct err *err)
{
	for (size_t i = 0; i < r->plan.ntasks; i++) {
		struct restore_task *t = &r->tasks[i];
		int by = r->plan.nodes.data[i].creator;

		if (!t->files_id)
			continue;
		t->owns_files = by < 0 || r->tasks[by].files_id != t->files_id;
		for (size_t k = 0; t->owns_files && k < i; k++)
			if (r->tasks[k].files_id == t->files_id)
				return err_refuse(err,
						  "only a parent and its children can share one",
						  "pid %u and pid %u share a descriptor table",
						  r->plan.nodes.data[k].task.vpid,
						  r->plan.nodes.data[i].task.vpid);
	}
	return 0;
}

static int make_plan(struct restore *r, const pstree_vec *tree, struct err *err)
{
	auto_free struct plan_task *tasks = xcalloc(tree->len, sizeof(*tasks));
	auto_free struct restore_task *loaded = xcalloc(tree->len, sizeof(*loaded));
	const struct plan_env env = {
		.sid = (uint32_t)getsid(0),
		.pgid = (uint32_t)getpgrp(),
		.shell_job = r->o->shell_job,
	};

	for (size_t i = 0; i < tree->len; i++)
		TRY(load_task(r, tree->data[i], &tasks[i], &loaded[i], i == 0, err));
	TRY(plan_make(&r->plan, tasks, tree->len, &env, err));
	size_tasks(r, loaded, tree->len);
	return check_shared_tables(r, err);
}

int restore_load(struct restore *r, struct err *err)
{
	struct file_opts fo = file_opts_of(r->o);
	pstree_vec tree = {0};
	int ret;

	r->readahead = readahead_new(r->dir);
	TRY(img_sums_read(r->dir, err));
	TRY(image_check(r->dir, r->arena, err));
	TRY(inventory_read(r->dir, r->arena, &r->inventory, err));
	TRY(restore_track_check(r, err));
	TRY(rtasks_load(r->dir, r->arena, &r->props, err));
	TRY(page_store_open(r->dir, &r->store, err));
	/* What the dump says, then what we are told: the last one counts. */
	TRY(policies_add_image(&r->policies, r->dir, r->arena, err));
	TRY(file_policies_of(r->o, r->arena, &r->policies, err));
	fo.policies = &r->policies;
	fo.store = r->store;
	TRY(rfiles_load(r->dir, &fo, r->arena, &r->files, err));
	r->pool = pool_new(/* nthreads= */ 0);
	TRY(mem_common_new(r->store, r->pool, &r->mem_common, err));
	r->opener = (struct mem_opener){
		.ctx = r->files, .common = r->mem_common, .open = rfiles_open_mapping};
	ret = read_pstree(r, &tree, err);
	if (ret == 0)
		ret = make_plan(r, &tree, err);
	vec_done(&tree);
	if (ret == 0 && !r->o->no_verify)
		ret = page_store_verify(r->store, r->pool, err);
	return ret;
}

/* ----------------------------------------------------------------- check */

/* "812 (nginx)": who has a number that the tree needs. */
static void name_holder(uint32_t pid, char *buf, size_t size)
{
	auto_close int fd = -EBADF;
	char path[64], comm[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, comm, sizeof(comm) - 1) : -1;
	comm[n > 0 ? n - 1 : 0] = '\0';
	snprintf(buf, size, "%u (%s)", pid, n > 0 ? comm : "?");
}

static bool pid_is_free(uint32_t pid)
{
	return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static bool is_zombie(uint32_t pid)
{
	struct proc_stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	return proc_read_stat(AT_FDCWD, path, &st) == 0 && st.state == 'Z';
}

/*
 * A dead process keeps its pid until its parent has taken note, and nothing tells when that is.
 * Right after a dump this is what stands in the way: the parent is init, or a shell that is busy.
 */
static void wait_for_zombies(const struct restore *r)
{
	uint64_t deadline = stats_now_us() + ZOMBIE_WAIT_US;

	for (size_t i = 0; i < r->plan.nodes.len; i++) {
		uint32_t pid = r->plan.nodes.data[i].task.vpid;

		while (!pid_is_free(pid) && is_zombie(pid) && stats_now_us() < deadline)
			usleep(1000); /* lint: allow, there is no event */
	}
}

struct taken {
	char list[512];
	size_t len, n;
};

static void note_taken(struct taken *t, uint32_t pid)
{
	char one[64];

	if (pid_is_free(pid))
		return;
	name_holder(pid, one, sizeof(one));
	if (t->len + strlen(one) + 3 < sizeof(t->list))
		t->len += (size_t)snprintf(t->list + t->len, sizeof(t->list) - t->len, "%s%s",
					   t->n ? ", " : "", one);
	t->n++;
}

/* All of them at once, also those of threads, so that one look is enough. */
static int check_pids(const struct restore *r, struct err *err)
{
	struct taken taken = {.list = ""};

	wait_for_zombies(r);
	for (size_t i = 0; i < r->plan.nodes.len; i++)
		note_taken(&taken, r->plan.nodes.data[i].task.vpid);
	for (size_t i = 0; i < r->plan.ntasks; i++)
		for (size_t k = 1; r->tasks[i].mem && k < r->tasks[i].props->nthreads; k++)
			note_taken(&taken, r->tasks[i].vtids[k]);
	if (!taken.n)
		return 0;
	err_input(err, "%zu of the pids of the tree are taken on this machine: %s", taken.n,
		  taken.list);
	return err_hint(err, "end those processes, or restore in a new pid namespace "
			     "(unshare --pid --fork --mount-proc torpor restore ...)");
}

int restore_check(struct restore *r, struct err *err)
{
	TRY(check_pids(r, err));
	for (size_t i = 0; i < r->plan.ntasks; i++)
		TRY(rtask_check(r->tasks[i].props, err));
	return rfiles_check(r->files, err);
}
