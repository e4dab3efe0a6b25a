/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed between two checkpoints, as JSON: processes, mappings, pages, descriptors, records.
 * Processes are the same if their pids are. Of pre-dumps there are only pages.
 */
#include "inspect/diff.h"

#include "base/auto.h"

#include <string.h>

void diff_problem(struct diff *d, size_t side, struct err *err)
{
	json_array_append_new(d->problems,
			      json_pack("{so so}", "dir", json_string_of(d->cp[side]->path), "text",
					json_string_of(err->text)));
	*err = ERR_INIT;
}

json_t *diff_list(struct diff *d, const char *key)
{
	json_t *list = json_object_get(d->out, key);

	if (list)
		return list;
	json_object_set_new(d->out, key, json_array());
	return json_object_get(d->out, key);
}

void diff_add(struct diff *d, const char *key, json_t *row)
{
	json_array_append_new(diff_list(d, key), row);
	d->differences++;
}

/* --------------------------------------------------------------- processes */

static void add_process(struct diff *d, size_t side, struct checkpoint_task *t, const char *what)
{
	json_t *row = json_pack("{sI ss}", "pid", (json_int_t)t->pid, "what", what);
	struct err err = ERR_INIT;
	const CoreEntry *core;

	if (t->e && checkpoint_core(d->cp[side], t, &core, &err) == 0 && core->tc)
		json_object_set_new(row, "comm", json_string_of(core->tc->comm));
	diff_add(d, "processes", row);
}

/* Tids that only this side has. */
static void list_threads(struct diff *d, uint32_t pid, const PstreeEntry *these,
			 const PstreeEntry *others, const char *what)
{
	struct map known = {0};

	for (size_t i = 0; i < others->n_threads; i++)
		map_put(&known, others->threads[i], 1);
	for (size_t i = 0; i < these->n_threads; i++)
		if (map_get(&known, these->threads[i]) == MAP_NONE)
			diff_add(d, "threads",
				 json_pack("{sI sI ss}", "pid", (json_int_t)pid, "tid",
					   (json_int_t)these->threads[i], "what", what));
	map_done(&known);
}

static void compare_cores(struct diff *d, uint32_t tid)
{
	/* Numbers of the dump's own. */
	static const char *const skip[] = {"ids", "cg_set", NULL};
	struct err err = ERR_INIT;
	struct arena *a = arena_new();
	char image[IMG_NAME_MAX];
	const CoreEntry *core[2];
	bool ok = true;

	for (size_t i = 0; i < 2; i++) {
		if (checkpoint_thread_core(d->cp[i], tid, a, &core[i], &err) == 0)
			continue;
		diff_problem(d, i, &err);
		ok = false;
	}
	img_name(IMG_CORE, tid, image);
	if (ok)
		diff_records_of(d, image, &core[0]->base, &core[1]->base, skip, "thread_info.");
	arena_free(a);
}

static void compare_threads(struct diff *d, const PstreeEntry *a, const PstreeEntry *b)
{
	struct map known = {0};

	list_threads(d, a->pid, b, a, "new");
	list_threads(d, a->pid, a, b, "gone");
	compare_cores(d, a->pid);
	for (size_t i = 1; i < a->n_threads; i++)
		map_put(&known, a->threads[i], 1);
	for (size_t i = 1; i < b->n_threads; i++)
		if (map_get(&known, b->threads[i]) != MAP_NONE)
			compare_cores(d, b->threads[i]);
	map_done(&known);
}

static void compare_fs(struct diff *d, struct checkpoint_task *a, struct checkpoint_task *b)
{
	struct checkpoint_task *tasks[] = {a, b};
	const char *names[2][2];
	struct err err = ERR_INIT;
	char image[IMG_NAME_MAX];
	const FsEntry *fs[2];

	for (size_t i = 0; i < 2; i++) {
		if (checkpoint_fs(d->cp[i], tasks[i], &fs[i], &err) < 0) {
			diff_problem(d, i, &err);
			return;
		}
		names[i][0] = diff_file_name(d, i, fs[i]->cwd_id);
		names[i][1] = diff_file_name(d, i, fs[i]->root_id);
	}
	img_name(IMG_FS, a->pid, image);
	for (size_t k = 0; k < 2; k++)
		if (strcmp(names[0][k], names[1][k]) != 0)
			diff_add(d, "records",
				 json_pack("{ss ss so so}", "image", image, "field",
					   k ? "root_id" : "cwd_id", "a",
					   json_string_of(names[0][k]), "b",
					   json_string_of(names[1][k])));
	if (fs[0]->umask != fs[1]->umask)
		diff_records_of(d, image, &fs[0]->base, &fs[1]->base,
				(const char *const[]){"cwd_id", "root_id", NULL}, NULL);
}

static bool is_dead(struct torpor_checkpoint *cp, struct checkpoint_task *t)
{
	struct err err = ERR_INIT;
	const CoreEntry *core;

	return checkpoint_core(cp, t, &core, &err) == 0 && checkpoint_is_zombie(core);
}

/* A dead process has nothing but its core. */
static void compare_whole_tasks(struct diff *d, struct checkpoint_task *a,
				struct checkpoint_task *b)
{
	static const char *const skip[] = {"threads", NULL};

	diff_records_of(d, "pstree.img", &a->e->base, &b->e->base, skip, NULL);
	compare_threads(d, a->e, b->e);
	if (is_dead(d->cp[0], a) || is_dead(d->cp[1], b))
		return;
	diff_mappings(d, a, b);
	compare_fs(d, a, b);
	diff_descriptors(d, a, b);
	diff_task_pages(d, a->pid, (const MmEntry *[]){a->mm, b->mm});
}

static void compare_tasks(struct diff *d, struct checkpoint_task *a, struct checkpoint_task *b)
{
	struct err err = ERR_INIT;
	const MmEntry *mm;

	if (a->e && b->e) {
		compare_whole_tasks(d, a, b);
		return;
	}
	/* One is of a pre-dump: mappings of the other tell what the pages are. */
	if ((a->e && checkpoint_mm(d->cp[0], a, &mm, &err) < 0) ||
	    (b->e && checkpoint_mm(d->cp[1], b, &mm, &err) < 0))
		err = ERR_INIT; /* only names are lost */
	diff_task_pages(d, a->pid, (const MmEntry *[]){a->mm, b->mm});
}

void diff_tasks(struct diff *d)
{
	uint64_t done = 0;

	vec_foreach (b, &d->cp[1]->tasks) {
		size_t i = map_get(&d->cp[0]->by_pid, b->pid);

		context_progress(d->cp[0]->ctx, "processes", done++, d->cp[1]->tasks.len);
		if (i == MAP_NONE)
			add_process(d, 1, b, "new");
		else
			compare_tasks(d, &d->cp[0]->tasks.data[i], b);
	}
	context_progress(d->cp[0]->ctx, "processes", done, d->cp[1]->tasks.len);
	vec_foreach (a, &d->cp[0]->tasks)
		if (map_get(&d->cp[1]->by_pid, a->pid) == MAP_NONE)
			add_process(d, 0, a, "gone");
}

/* -------------------------------------------------------------- everything */

static void check_files(struct diff *d)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < 2; i++)
		if (!d->cp[i]->pre_dump && checkpoint_files(d->cp[i], &err) < 0)
			diff_problem(d, i, &err);
}

static void compare(struct diff *d)
{
	check_files(d);
	diff_tasks(d);
	diff_shared_pages(d);
	if (!d->cp[0]->pre_dump && !d->cp[1]->pre_dump)
		diff_images(d);
	json_object_set_new(d->out, "equal",
			    json_boolean(!d->differences && !json_array_size(d->problems)));
}

int torpor_image_diff(struct torpor_image *ti, const char *a, const char *b, char **ret_json)
{
	struct diff d = {.out = json_object(), .problems = json_array(), .scratch = arena_new()};
	int r = torpor_checkpoint_open(ti, a, &d.cp[0]);

	if (r == 0)
		r = torpor_checkpoint_open(ti, b, &d.cp[1]);
	json_object_set_new(d.out, "a", json_string_of(a));
	json_object_set_new(d.out, "b", json_string_of(b));
	json_object_set_new(d.out, "problems", d.problems);
	if (r == 0) {
		compare(&d);
		*ret_json = json_dumps(d.out, JSON_COMPACT);
	}
	json_decref(d.out);
	map_done(&d.files_seen);
	arena_free(d.scratch);
	torpor_checkpoint_close(d.cp[0]);
	torpor_checkpoint_close(d.cp[1]);
	return r;
}
