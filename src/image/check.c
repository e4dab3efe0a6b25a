/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order: what others refer to is read first (filters, files), then each task with all that is its
 * own. Scratch memory is given back after some tasks, so that a large tree costs no more than its
 * ids; one task's records are small beside the cost of a new arena.
 */
#include "image/check.h"

#include "base/auto.h"
#include "image/check_priv.h"
#include "image/schema/fdinfo.pb-c.h"

#define SCRATCH_USES 64

struct arena *check_scratch(struct check *c)
{
	if (!c->scratch || ++c->scratch_uses % SCRATCH_USES == 0) {
		arena_free(c->scratch);
		c->scratch = arena_new();
	}
	return c->scratch;
}

int check_note(struct check *c, struct err *err)
{
	if (!c->report)
		return err->code;
	c->report(c->report_arg, err);
	*err = ERR_INIT;
	return 0;
}

static const char *type_name(uint32_t type)
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, (int)type);

	return v ? v->name : "?";
}

int check_file_id(const struct check *c, const char *image, const char *field, uint64_t id,
		  uint32_t type, struct err *err)
{
	const uint32_t *types = idmap_find(&c->files, id);

	if (!types && c->files_unknown)
		return 0;
	if (!types)
		return err_input(err, "%s: %s: file %" PRIu64 " isn't in files.img", image, field,
				 id);
	if (type >= 32 || !(*types & (1u << type)))
		return err_input(err, "%s: %s: file %" PRIu64 " isn't of type %s", image, field, id,
				 type_name(type));
	return 0;
}

static int check_task(struct check *c, struct check_task *t, struct err *err)
{
	NOTE(c, check_cores(c, t, err), err);
	if (t->zombie)
		return 0;
	NOTE(c, check_ids(c, t, err), err);
	NOTE(c, check_task_files(c, t, err), err);
	NOTE(c, check_mem(c, t, err), err);
	return 0;
}

/* A dead process has no children: the kernel gives them to its reaper. */
static int check_parents(struct check *c, struct err *err)
{
	vec_foreach (t, &c->tasks) {
		const uint32_t *parent = t->e->ppid ? idmap_find(&c->pids, t->e->ppid) : NULL;

		if (parent && c->tasks.data[*parent].zombie)
			return err_input(err, "pstree.img: pid %u: ppid: %u is a zombie", t->e->pid,
					 t->e->ppid);
		if (!t->e->ppid && t->zombie)
			return err_input(err,
					 "pstree.img: pid %u, the root of the tree, is a zombie",
					 t->e->pid);
	}
	return 0;
}

int check_all(struct check *c, struct err *err)
{
	NOTE(c, check_inventory(c, err), err);
	NOTE(c, page_store_open(c->dir, &c->store, err), err);
	NOTE(c, check_tree(c, err), err);
	NOTE(c, check_shared_core(c, err), err);
	NOTE(c, check_files(c, err), err);
	vec_foreach (t, &c->tasks)
		TRY(check_task(c, t, err));
	NOTE(c, check_parents(c, err), err);
	return 0;
}

void check_done(struct check *c)
{
	struct idmap *maps[] = {&c->pids,    &c->files,	 &c->tables,	  &c->memfds,
				&c->ttys,    &c->pipes,	 &c->remaps,	  &c->shmids,
				&c->cg_sets, &c->vm_ids, &c->sighand_ids, &c->fs_ids};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		idmap_done(maps[i]);
	page_store_close(c->store);
	vec_done(&c->tasks);
	vec_done(&c->refs);
	arena_free(c->scratch);
}

int image_check(const struct img_dir *dir, struct arena *a, struct err *err)
{
	struct check c = {.dir = dir, .a = a};
	int r = check_all(&c, err);

	check_done(&c);
	return r;
}
