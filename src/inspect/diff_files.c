/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of a process in two checkpoints, and the files behind them. Ids of files are numbers
 * of each dump's own: files are compared where a descriptor of the same number leads to them.
 */
#include "inspect/diff.h"

#include "base/auto.h"

#include <inttypes.h>
#include <string.h>

struct table {
	VEC(FdinfoEntry *) fds;
	struct map by_fd;
};

const char *diff_file_name(struct diff *d, size_t side, uint32_t id)
{
	struct err err = ERR_INIT;
	const ProtobufCEnumValue *v;
	const FileEntry *f;

	if (checkpoint_file(d->cp[side], id, &f, &err) < 0 || !f)
		return "unknown";
	if (f->reg)
		return f->reg->name;
	v = protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, (int)f->type);
	return v ? v->name : "unknown";
}

static int load_table(struct diff *d, size_t side, struct checkpoint_task *t, struct table *ret,
		      struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	const TaskKobjIdsEntry *ids;
	FdinfoEntry *e;
	int got;

	TRY(checkpoint_ids(d->cp[side], t, &ids, err));
	TRY(img_open(&d->cp[side]->dir, IMG_FDINFO, ids->files_id, &r, err));
	while ((got = img_get(r, d->scratch, &e, err)) > 0) {
		map_put(&ret->by_fd, e->fd, ret->fds.len);
		*vec_push(&ret->fds) = e;
	}
	return got;
}

static void add_descriptor(struct diff *d, size_t side, uint32_t pid, const FdinfoEntry *e,
			   const char *what)
{
	diff_add(d, "descriptors",
		 json_pack("{sI sI ss so}", "pid", (json_int_t)pid, "fd", (json_int_t)e->fd, "what",
			   what, "name", json_string_of(diff_file_name(d, side, e->id))));
}

/* A file that many processes have is compared once. */
static bool seen_before(struct diff *d, uint32_t a, uint32_t b)
{
	uint64_t key = (uint64_t)a << 32 | b;

	if (map_get(&d->files_seen, key) != MAP_NONE)
		return true;
	map_put(&d->files_seen, key, 1);
	return false;
}

static void compare_files(struct diff *d, uint32_t pid, const FdinfoEntry *a, const FdinfoEntry *b)
{
	/* Numbers of the dump, or of the kernel that runs the program. */
	static const char *const skip[] = {"id",       "regf_id", "tty_info_id",
					   "inode_id", "tfd_id",  NULL};
	struct err err = ERR_INIT;
	const FileEntry *x, *y;
	char where[64];

	if (seen_before(d, a->id, b->id))
		return;
	if (checkpoint_file(d->cp[0], a->id, &x, &err) < 0 ||
	    checkpoint_file(d->cp[1], b->id, &y, &err) < 0 || !x || !y)
		return; /* diff_tasks tells of a broken files.img */
	snprintf(where, sizeof(where), "files.img: fd %u of %u", a->fd, pid);
	diff_records_of(d, where, &x->base, &y->base, skip, NULL);
}

static void compare_descriptors(struct diff *d, uint32_t pid, const FdinfoEntry *a,
				const FdinfoEntry *b)
{
	static const char *const skip[] = {"id", NULL};
	const char *x = diff_file_name(d, 0, a->id), *y = diff_file_name(d, 1, b->id);
	char where[64];

	if (a->type != b->type || strcmp(x, y) != 0) {
		add_descriptor(d, 0, pid, a, "closed");
		add_descriptor(d, 1, pid, b, "opened");
		return;
	}
	snprintf(where, sizeof(where), "fdinfo: fd %u of %u", a->fd, pid);
	diff_records_of(d, where, &a->base, &b->base, skip, NULL);
	compare_files(d, pid, a, b);
}

static void compare_tables(struct diff *d, uint32_t pid, const struct table *a,
			   const struct table *b)
{
	vec_foreach (p, &b->fds) {
		size_t i = map_get(&a->by_fd, (*p)->fd);

		if (i == MAP_NONE)
			add_descriptor(d, 1, pid, *p, "opened");
		else
			compare_descriptors(d, pid, a->fds.data[i], *p);
	}
	vec_foreach (p, &a->fds)
		if (map_get(&b->by_fd, (*p)->fd) == MAP_NONE)
			add_descriptor(d, 0, pid, *p, "closed");
}

void diff_descriptors(struct diff *d, struct checkpoint_task *a, struct checkpoint_task *b)
{
	struct checkpoint_task *tasks[] = {a, b};
	struct table tables[2] = {0};
	struct err err = ERR_INIT;
	bool ok = true;

	for (size_t i = 0; i < 2; i++) {
		if (load_table(d, i, tasks[i], &tables[i], &err) == 0)
			continue;
		diff_problem(d, i, &err);
		ok = false;
	}
	if (ok)
		compare_tables(d, a->pid, &tables[0], &tables[1]);
	for (size_t i = 0; i < 2; i++) {
		vec_done(&tables[i].fds);
		map_done(&tables[i].by_fd);
	}
}
