/* SPDX-License-Identifier: Apache-2.0 */
#include "file/users.h"

#include "image/schema/core.pb-c.h"
#include "image/schema/mm.pb-c.h"
#include "image/schema/pstree.pb-c.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct search {
	struct rfiles *f;
	const struct map *ids;
	struct users *users;
	struct arena *a; /* of one task */
	uint32_t pid;
	const char *comm; /* NULL: not read yet */
};

static struct users *wanted(const struct search *s, uint64_t id)
{
	size_t i = map_get(s->ids, id);

	return i == MAP_NONE ? NULL : &s->users[i];
}

static const char *comm_of(struct search *s)
{
	struct err err = ERR_INIT;
	CoreEntry *core;

	if (!s->comm) {
		s->comm = "?";
		if (img_read_opt(s->f->dir, IMG_CORE, s->pid, s->a, &core, &err) > 0 && core->tc)
			s->comm = core->tc->comm;
	}
	return s->comm;
}

static void __attribute__((format(printf, 3, 4)))
note(struct search *s, struct users *u, const char *fmt, ...)
{
	bool is_new = u->pid != s->pid;
	char how[64], line[128];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(how, sizeof(how), fmt, ap);
	va_end(ap);
	if (is_new)
		snprintf(line, sizeof(line), "%spid %u (%.32s): %s", u->len ? "; " : "", s->pid,
			 comm_of(s), how);
	else
		snprintf(line, sizeof(line), ", %s", how);
	u->pid = s->pid;
	len = strlen(line);
	if (u->left_out || u->len + len >= sizeof(u->text)) {
		u->left_out += is_new;
		return;
	}
	memcpy(u->text + u->len, line, len + 1);
	u->len += len;
}

static void look_at_table(struct search *s, uint32_t files_id)
{
	vec_foreach (t, &s->f->tables) {
		if (t->files_id != files_id)
			continue;
		for (size_t i = 0; i < t->n; i++) {
			struct users *u = wanted(s, t->fds[i].file->id);

			if (u)
				note(s, u, "fd %d", t->fds[i].num);
		}
	}
}

static void look_at_memory(struct search *s)
{
	struct err err = ERR_INIT;
	struct users *u;
	MmEntry *mm;

	if (img_read_opt(s->f->dir, IMG_MM, s->pid, s->a, &mm, &err) <= 0)
		return;
	u = wanted(s, mm->exe_file_id);
	if (u)
		note(s, u, "its program");
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];

		u = v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED) ? wanted(s, v->shmid) : NULL;
		if (!u || u->mapped_by == s->pid)
			continue;
		u->mapped_by = s->pid;
		note(s, u, "mapped at %" PRIx64, v->start);
	}
}

static void look_at_dirs(struct search *s)
{
	vec_foreach (fs, &s->f->fs) {
		struct users *u;

		if (fs->vpid != s->pid)
			continue;
		u = wanted(s, fs->cwd->id);
		if (u)
			note(s, u, "working directory");
		u = wanted(s, fs->root->id);
		if (u)
			note(s, u, "root directory");
	}
}

static void look_at_task(struct search *s, uint32_t pid)
{
	struct err err = ERR_INIT;
	TaskKobjIdsEntry *ids;

	s->a = arena_new();
	s->pid = pid;
	s->comm = NULL;
	if (img_read_opt(s->f->dir, IMG_IDS, pid, s->a, &ids, &err) > 0)
		look_at_table(s, ids->files_id);
	look_at_memory(s);
	look_at_dirs(s);
	arena_free(s->a);
}

void users_find(struct rfiles *f, const struct map *ids, struct users *users)
{
	auto_img_reader struct img_reader *rd = NULL;
	struct search s = {.f = f, .ids = ids, .users = users};
	struct err err = ERR_INIT;
	PstreeEntry *task;

	if (img_open(f->dir, IMG_PSTREE, 0, &rd, &err) < 0)
		return;
	while (img_get(rd, f->a, &task, &err) > 0)
		look_at_task(&s, task->pid);
}
