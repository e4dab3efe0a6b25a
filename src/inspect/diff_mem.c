/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings of a process in two checkpoints, by where they start. */
#include "inspect/diff.h"

#include "base/auto.h"
#include "image/vma_status.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define ST_FILE (VMA_FILE_PRIVATE | VMA_FILE_SHARED)

static const char *name_of(struct diff *d, size_t side, const VmaEntry *v)
{
	if (v->status & VMA_AREA_GUARD)
		return "guard";
	if (v->status & (ST_FILE | VMA_AREA_MEMFD))
		return diff_file_name(d, side, (uint32_t)v->shmid);
	if (v->status & VMA_AREA_HEAP)
		return "[heap]";
	if (v->status & VMA_AREA_STACK)
		return "[stack]";
	if (v->status & VMA_AREA_VDSO)
		return "[vdso]";
	return v->status & VMA_ANON_SHARED ? "shared memory" : "anonymous";
}

static json_t *make_row(struct diff *d, size_t side, uint32_t pid, const VmaEntry *v,
			const char *what)
{
	char prot[4];

	snprintf(prot, sizeof(prot), "%c%c%c", v->prot & PROT_READ ? 'r' : '-',
		 v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-');
	return json_pack("{sI ss sI sI ss so}", "pid", (json_int_t)pid, "what", what, "start",
			 (json_int_t)v->start, "end", (json_int_t)v->end, "prot", prot, "name",
			 json_string_of(name_of(d, side, v)));
}

static void add_change(void *arg, const char *path, const char *a, const char *b)
{
	json_array_append_new(arg, json_pack("{ss so so}", "field", path, "a", json_string_of(a),
					     "b", json_string_of(b)));
}

static void compare_pair(struct diff *d, uint32_t pid, const VmaEntry *a, const VmaEntry *b)
{
	/* Ids of files are the dump's own: names count. */
	static const char *const skip[] = {"shmid", "fd", NULL};
	json_t *changes = json_array(), *row;
	const char *x = name_of(d, 0, a), *y = name_of(d, 1, b);

	diff_records(&a->base, &b->base, skip, add_change, changes);
	if (strcmp(x, y) != 0)
		add_change(changes, "name", x, y);
	if (json_array_size(changes)) {
		row = make_row(d, 1, pid, b, "changed");
		json_object_set(row, "changes", changes);
		diff_add(d, "mappings", row);
	}
	json_decref(changes);
}

/* Starts are page addresses: a guard is told from the mapping that it lies in. */
static uint64_t key_of(const VmaEntry *v)
{
	return v->start | !!(v->status & VMA_AREA_GUARD);
}

static void compare_lists(struct diff *d, uint32_t pid, const MmEntry *a, const MmEntry *b)
{
	struct map in_a = {0}, matched = {0};

	for (size_t i = 0; i < a->n_vmas; i++)
		map_put(&in_a, key_of(a->vmas[i]), i);
	for (size_t i = 0; i < b->n_vmas; i++) {
		size_t k = map_get(&in_a, key_of(b->vmas[i]));

		if (k == MAP_NONE) {
			diff_add(d, "mappings", make_row(d, 1, pid, b->vmas[i], "new"));
			continue;
		}
		map_put(&matched, key_of(b->vmas[i]), 1);
		compare_pair(d, pid, a->vmas[k], b->vmas[i]);
	}
	for (size_t i = 0; i < a->n_vmas; i++)
		if (map_get(&matched, key_of(a->vmas[i])) == MAP_NONE)
			diff_add(d, "mappings", make_row(d, 0, pid, a->vmas[i], "gone"));
	map_done(&in_a);
	map_done(&matched);
}

void diff_mappings(struct diff *d, struct checkpoint_task *a, struct checkpoint_task *b)
{
	static const char *const skip[] = {"vmas", "exe_file_id", NULL};
	struct checkpoint_task *tasks[] = {a, b};
	char image[IMG_NAME_MAX];
	const MmEntry *mm[2];
	struct err err = ERR_INIT;
	const char *exe[2];

	for (size_t i = 0; i < 2; i++) {
		if (checkpoint_mm(d->cp[i], tasks[i], &mm[i], &err) < 0) {
			diff_problem(d, i, &err);
			return;
		}
		exe[i] = diff_file_name(d, i, mm[i]->exe_file_id);
	}
	compare_lists(d, a->pid, mm[0], mm[1]);
	img_name(IMG_MM, a->pid, image);
	diff_records_of(d, image, &mm[0]->base, &mm[1]->base, skip, NULL);
	if (strcmp(exe[0], exe[1]) != 0)
		diff_add(d, "records",
			 json_pack("{ss ss so so}", "image", image, "field", "exe_file_id", "a",
				   json_string_of(exe[0]), "b", json_string_of(exe[1])));
}
