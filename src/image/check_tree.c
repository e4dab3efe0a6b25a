/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: inventory.img, pstree.img and ids-*.img. Pids and tids are one number space; a parent
 * stands before its children, so that reading from the top always knows who clones whom.
 */
#include "image/check_priv.h"

#include "base/auto.h"
#include "image/inventory.h"

int check_inventory(struct check *c, struct err *err)
{
	struct inventory inventory;
	InventoryEntry *e;

	TRY(inventory_read(c->dir, c->a, &inventory, err));
	TRY(img_read_one(c->dir, IMG_INVENTORY, 0, c->a, &e, err));
	c->inventory = e;
	return 0;
}

static int bad_task(uint64_t at, const PstreeEntry *e, const char *what, uint32_t value,
		    struct err *err)
{
	return err_input(err, "pstree.img: record at %" PRIu64 ": pid %u: %s: %u", at, e->pid, what,
			 value);
}

static int add_pid(struct check *c, uint64_t at, const PstreeEntry *e, uint32_t id, struct err *err)
{
	if (!id || id > CHECK_PID_MAX)
		return bad_task(at, e, "not a pid", id, err);
	if (!idmap_add(&c->pids, id, (uint32_t)c->tasks.len))
		return bad_task(at, e, "there are two tasks with this pid", id, err);
	return 0;
}

static int add_task(struct check *c, uint64_t at, const PstreeEntry *e, struct err *err)
{
	bool root = !c->tasks.len;

	if (root && e->ppid)
		return bad_task(at, e, "ppid of the root of the tree", e->ppid, err);
	if (!root && !e->ppid)
		return bad_task(at, e, "ppid of a task that isn't the root", e->ppid, err);
	if (!root && !idmap_find(&c->pids, e->ppid))
		return bad_task(at, e, "ppid: no task before it has this pid", e->ppid, err);
	if (!e->sid || e->sid > CHECK_PID_MAX)
		return bad_task(at, e, "sid", e->sid, err);
	if (e->pgid > CHECK_PID_MAX)
		return bad_task(at, e, "pgid", e->pgid, err);
	if (!e->n_threads)
		return bad_task(at, e, "threads: number", 0, err);
	TRY(add_pid(c, at, e, e->pid, err));
	/* The first is the leader, 0 for a zombie; nobody reads it. */
	for (size_t i = 1; i < e->n_threads; i++)
		TRY(add_pid(c, at, e, e->threads[i], err));
	*vec_push(&c->tasks) = (struct check_task){.e = e};
	return 0;
}

int check_tree(struct check *c, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	PstreeEntry *e;
	int got;

	TRY(img_open(c->dir, IMG_PSTREE, 0, &r, err));
	for (;;) {
		uint64_t at = r ? img_tell(r) : 0;

		got = img_get(r, c->a, &e, err);
		if (got <= 0)
			break;
		NOTE(c, add_task(c, at, e, err), err);
	}
	c->tree_unknown = got < 0;
	TRY(got);
	if (c->tasks.len)
		return 0;
	err_input(err, "pstree.img: missing, or empty");
	return err_hint(err, "the images in %s are not those of a complete dump", c->dir->path);
}

/* Of these objects each process has its own; CRIU doesn't dump them shared either. */
static int check_unshared(const struct check *c, const struct check_task *t, struct idmap *ids,
			  uint32_t id, const char *what, struct err *err)
{
	uint32_t place = (uint32_t)(t - c->tasks.data);

	if (idmap_add(ids, id, place))
		return 0;
	return err_refuse(err, "these images can't come from a supported dump; take another one",
			  "ids-%u.img: %s: pid %u and pid %u share number %u", t->e->pid, what,
			  c->tasks.data[*idmap_find(ids, id)].e->pid, t->e->pid, id);
}

int check_ids(struct check *c, struct check_task *t, struct err *err)
{
	const TaskKobjIdsEntry *own = c->inventory ? c->inventory->root_ids : NULL;
	TaskKobjIdsEntry *e;

	TRY(img_read_one(c->dir, IMG_IDS, t->e->pid, check_scratch(c), &e, err));
	if (!e->files_id)
		return err_input(err, "ids-%u.img: files_id: 0", t->e->pid);
	if (!t->e->ppid && own && e->files_id == own->files_id)
		return err_input(err, "ids-%u.img: files_id: %u is that of the dumping process",
				 t->e->pid, e->files_id);
	t->files_id = e->files_id;
	NOTE(c, check_unshared(c, t, &c->vm_ids, e->vm_id, "vm_id", err), err);
	NOTE(c, check_unshared(c, t, &c->sighand_ids, e->sighand_id, "sighand_id", err), err);
	return check_unshared(c, t, &c->fs_ids, e->fs_id, "fs_id", err);
}
