/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/checkpoint.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "inspect/space.h"

#include <fcntl.h>
#include <string.h>

/* ---------------------------------------------------------------- opening */

static void add_task(struct torpor_checkpoint *cp, const struct checkpoint_task *t)
{
	map_put(&cp->by_pid, t->pid, cp->tasks.len);
	*vec_push(&cp->tasks) = *t;
}

static int load_tree(struct torpor_checkpoint *cp, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	PstreeEntry *e;
	int got;

	TRY(img_open(&cp->dir, IMG_PSTREE, 0, &r, err));
	while ((got = img_get(r, cp->a, &e, err)) > 0) {
		struct checkpoint_task t = {.pid = e->pid, .e = e, .parent = SIZE_MAX};

		if (cp->tasks.len) {
			t.parent = map_get(&cp->by_pid, e->ppid);
			if (t.parent == MAP_NONE)
				return err_input(err,
						 "pstree.img: pid %u: its parent %u isn't "
						 "there",
						 e->pid, e->ppid);
			t.depth = cp->tasks.data[t.parent].depth + 1;
		}
		if (map_get(&cp->by_pid, e->pid) != MAP_NONE)
			return err_input(err, "pstree.img: pid %u is there twice", e->pid);
		add_task(cp, &t);
	}
	if (got == 0 && !cp->tasks.len)
		return err_input(err, "pstree.img: missing, or empty");
	return got;
}

struct ids {
	VEC(uint64_t) list;
};

static int compare_pids(const void *a, const void *b)
{
	const struct checkpoint_task *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* The numbers in the names of the images PREFIX%u.img, in any order. */
static int list_ids(struct torpor_checkpoint *cp, const char *prefix, struct ids *ret,
		    struct err *err)
{
	int fd = openat(cp->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		fd_close(fd);
		return err_sys(err, -errno, "%s: read the directory", cp->path);
	}
	for (struct dirent *e; (e = readdir(d));) {
		const char *p = str_after(e->d_name, prefix);
		uint64_t id;

		if (p && scan_u64(&p, 10, &id) && strcmp(p, ".img") == 0)
			*vec_push(&ret->list) = id;
	}
	return 0;
}

/* A pre-dump has no tree: its tasks are those whose memory is there. */
static int list_pagemaps(struct torpor_checkpoint *cp, struct err *err)
{
	struct ids pids = {0};
	int r = list_ids(cp, "pagemap-", &pids, err);

	vec_foreach (pid, &pids.list)
		if (*pid <= UINT32_MAX)
			*vec_push(&cp->tasks) =
				(struct checkpoint_task){.pid = (uint32_t)*pid, .parent = SIZE_MAX};
	vec_done(&pids.list);
	TRY(r);
	if (cp->tasks.len)
		qsort(cp->tasks.data, cp->tasks.len, sizeof(*cp->tasks.data), compare_pids);
	for (size_t i = 0; i < cp->tasks.len; i++)
		map_put(&cp->by_pid, cp->tasks.data[i].pid, i);
	return 0;
}

static int open_dir(struct torpor_checkpoint *cp, const char *path, struct err *err)
{
	InventoryEntry *e;
	int got;

	cp->path = xstrdup(path);
	cp->a = arena_new();
	cp->dir.path = cp->path;
	cp->dir.work_fd = -EBADF;
	cp->dir.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cp->dir.fd < 0)
		return err_sys(err, -errno, "images directory %s", path);
	/* Statistics are looked for beside the images, where they are without --work-dir. */
	cp->dir.work_fd = cp->dir.fd;
	got = img_read_opt(&cp->dir, IMG_INVENTORY, 0, cp->a, &e, err);
	if (got == 0) {
		err_input(err, "%s: there is no inventory.img", path);
		return err_hint(err, "name the images directory of a complete dump");
	}
	TRY(got);
	cp->inventory = e;
	cp->pre_dump = e->img_version == 0;
	return cp->pre_dump ? list_pagemaps(cp, err) : load_tree(cp, err);
}

int torpor_checkpoint_open(struct torpor_image *ti, const char *dir, struct torpor_checkpoint **ret)
{
	struct torpor_checkpoint *cp = xcalloc(1, sizeof(*cp));
	int r;

	cp->ctx = ti;
	r = open_dir(cp, dir, context_begin(ti));
	if (r < 0) {
		torpor_checkpoint_close(cp);
		return r;
	}
	*ret = cp;
	return 0;
}

void torpor_checkpoint_close(struct torpor_checkpoint *cp)
{
	if (!cp)
		return;
	space_close(cp->space);
	page_store_close(cp->store);
	fd_close(cp->dir.fd);
	vec_done(&cp->tasks);
	vec_done(&cp->files);
	map_done(&cp->by_pid);
	map_done(&cp->by_file_id);
	arena_free(cp->a);
	free(cp->path);
	free(cp);
}

/* ------------------------------------------------------------------ tasks */

const struct checkpoint_task *checkpoint_find(struct torpor_checkpoint *cp, uint32_t pid,
					      struct err *err)
{
	size_t i = map_get(&cp->by_pid, pid);
	char pids[256] = "";
	size_t len = 0;

	if (i != MAP_NONE)
		return &cp->tasks.data[i];
	vec_foreach (t, &cp->tasks) {
		len += (size_t)snprintf(pids + len, sizeof(pids) - len, " %u", t->pid);
		if (len > sizeof(pids) - 24) {
			snprintf(pids + len, sizeof(pids) - len, " ...");
			break;
		}
	}
	err_input(err, "%s: no process %u", cp->path, pid);
	err_hint(err, "the processes are:%s", pids);
	return NULL;
}

/* *kept is NULL as long as the record wasn't read. */
#define DEFINE_LOADER(name, kind, type, field)                                                     \
	int name(struct torpor_checkpoint *cp, struct checkpoint_task *t, const type **ret,        \
		 struct err *err)                                                                  \
	{                                                                                          \
		type *msg;                                                                         \
                                                                                                   \
		if (!t->field) {                                                                   \
			TRY(img_read_one(&cp->dir, kind, t->pid, cp->a, &msg, err));               \
			t->field = msg;                                                            \
		}                                                                                  \
		*ret = t->field;                                                                   \
		return 0;                                                                          \
	}

DEFINE_LOADER(checkpoint_core, IMG_CORE, CoreEntry, core)
DEFINE_LOADER(checkpoint_mm, IMG_MM, MmEntry, mm)
DEFINE_LOADER(checkpoint_ids, IMG_IDS, TaskKobjIdsEntry, ids)
DEFINE_LOADER(checkpoint_fs, IMG_FS, FsEntry, fs)

int checkpoint_thread_core(struct torpor_checkpoint *cp, uint32_t tid, struct arena *a,
			   const CoreEntry **ret, struct err *err)
{
	CoreEntry *e;

	TRY(img_read_one(&cp->dir, IMG_CORE, tid, a, &e, err));
	*ret = e;
	return 0;
}

bool checkpoint_is_zombie(const CoreEntry *core)
{
	enum { TASK_DEAD = 2 }; /* a disk value */

	return core->tc && core->tc->task_state == TASK_DEAD;
}

/* ------------------------------------------------------------------ files */

int checkpoint_files(struct torpor_checkpoint *cp, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	FileEntry *e;
	int got;

	if (cp->files_loaded)
		return 0;
	TRY(img_open(&cp->dir, IMG_FILES, 0, &r, err));
	while ((got = img_get(r, cp->a, &e, err)) > 0) {
		/* A tun device has two records with one id: the first one counts. */
		if (map_get(&cp->by_file_id, e->id) == MAP_NONE)
			map_put(&cp->by_file_id, e->id, cp->files.len);
		*vec_push(&cp->files) = e;
	}
	TRY(got);
	cp->files_loaded = true;
	return 0;
}

int checkpoint_file(struct torpor_checkpoint *cp, uint32_t id, const FileEntry **ret,
		    struct err *err)
{
	size_t i;

	TRY(checkpoint_files(cp, err));
	i = map_get(&cp->by_file_id, id);
	*ret = i == MAP_NONE ? NULL : cp->files.data[i];
	return 0;
}

/* ------------------------------------------------------------------ pages */

int checkpoint_shmems(struct torpor_checkpoint *cp, uint64_t **ret, size_t *ret_n, struct err *err)
{
	struct ids ids = {0};
	int r = list_ids(cp, "pagemap-shmem-", &ids, err);

	*ret = ids.list.data;
	*ret_n = ids.list.len;
	return r;
}

int checkpoint_store(struct torpor_checkpoint *cp, struct page_store **ret, struct err *err)
{
	if (!cp->store)
		TRY(page_store_open(&cp->dir, &cp->store, err));
	*ret = cp->store;
	return 0;
}
