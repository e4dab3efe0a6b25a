/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check --tree: everything that would stop a dump, from the same functions that the dump refuses
 * with, but on a running tree and going on after each refusal. What can only be seen by stopping
 * the tasks (signals in flight, robust lists ...) is not looked at: nothing of that is refused.
 */
#include "engine/engine.h"

#include "base/arena.h"
#include "base/auto.h"
#include "engine/file_opts.h"
#include "engine/ids.h"
#include "engine/tree.h"
#include "file/files.h"
#include "mem/dump.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

struct check {
	const struct options *o;
	struct target_tree tree;
	struct arena *arena;
	struct ids *ids;
	struct files *files;
	struct tasks *props;
	int found;
};

/* One line for each: the problem, and what to do about it. */
static int report(void *ctx, const struct err *err)
{
	struct check *c = ctx;

	c->found++;
	printf("%s%s%s\n", err->text, err->hint[0] ? "; " : "", err->hint);
	return 0;
}

static void note(struct check *c, int ret, struct err *err)
{
	if (ret < 0 && err->kind != ERR_GONE) /* who is gone stops nobody */
		report(c, err);
	*err = ERR_INIT;
}

/* ------------------------------------------------------------ the checks */

static void check_memory(struct check *c, struct target *t, struct err *err)
{
	struct mem mem = {0};

	note(c, mem_collect(t, &mem, err), err);
	vec_foreach (v, &mem.vmas) {
		if (vma_needs_file(v))
			note(c, files_dump_mapping(c->files, t, v, err), err);
	}
	mem_done(&mem);
}

static void check_task(struct check *c, struct target *t)
{
	struct err err = ERR_INIT;
	struct task_ids ids;
	uint32_t exe;

	if (t->state == TARGET_ZOMBIE)
		return;
	note(c, ids_of(c->ids, t, &ids, &err), &err);
	check_memory(c, t, &err);
	note(c, files_dump_link(c->files, t, "exe", &exe, &err), &err);
	note(c, files_dump_task(c->files, t, ids.files, &err), &err);
	note(c, files_dump_fs(c->files, t, &err), &err);
	note(c, task_check(c->props, t, &err), &err);
}

static int run_check(struct check *c, struct err *err)
{
	struct err one = ERR_INIT;

	TRY(tree_check_pid(c->o->pid, err));
	TRY(ids_new(&c->ids, err));
	TRY(tree_list(c->o->pid, report, c, &c->tree, err));
	note(c, tree_check_sessions(&c->tree, c->o->shell_job, &one), &one);
	for (size_t i = 0; i < c->tree.n; i++)
		check_task(c, c->tree.targets[i]);
	note(c, files_dump_collected(c->files, &one), &one);
	printf("%zu processes, %d %s\n", c->tree.n, c->found,
	       c->found == 1 ? "obstacle to a dump" : "obstacles to a dump");
	return c->found;
}

int engine_check_tree(const struct options *o, struct err *err)
{
	const struct img_dir nowhere = {.fd = -EBADF, .work_fd = -EBADF, .path = ""};
	struct check c = {.o = o, .arena = arena_new()};
	struct file_opts fo = file_opts_of(o);
	int ret;

	fo.check_only = true;
	fo.report = report;
	fo.report_ctx = &c;
	c.files = files_new(&nowhere, &fo, c.arena);
	c.props = tasks_new(&nowhere, c.arena);
	ret = run_check(&c, err);
	tree_list_free(&c.tree);
	files_free(c.files);
	ids_free(c.ids);
	arena_free(c.arena);
	return ret;
}
