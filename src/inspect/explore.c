/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views of a checkpoint in the exact form that crit gives them, which people's scripts parse:
 * ../shared/interfaces/CRIT.md section 5. A process without an image of the kind (a zombie) has its
 * line, and nothing below it.
 */
#include "base/auto.h"
#include "image/json/quoted.h"
#include "image/pages.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/vma_status.h"
#include "inspect/checkpoint.h"

#include <inttypes.h>
#include <string.h>

struct explorer {
	struct torpor_checkpoint *cp;
	FILE *out;
	struct arena *a;
	struct map sids; /* ids of shared memory to running numbers */
	size_t nsids;
	struct err *err;
};

/* --------------------------------------------------------------------- ps */

static int show_ps(struct explorer *x, struct checkpoint_task *t)
{
	const CoreEntry *core;

	TRY(checkpoint_core(x->cp, t, &core, x->err));
	fprintf(x->out, "%7u%7u%7u   %*s%s\n", t->e->pid, t->e->pgid, t->e->sid,
		(int)(4 * t->depth), "", core->tc ? core->tc->comm : "");
	return 0;
}

/* -------------------------------------------------------------------- fds */

static const char *unix_name(struct explorer *x, const UnixSkEntry *e)
{
	return arena_printf(x->a, "unix[%u (%u)%s%s]", e->ino, e->peer, e->name.len ? " " : "",
			    quoted_encode(x->a, e->name.data, e->name.len));
}

static const char *type_name(uint32_t type)
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, (int)type);

	return v ? v->name : "?";
}

static const char *file_name(struct explorer *x, uint32_t type, uint32_t id)
{
	const FileEntry *f = NULL;

	if (checkpoint_file(x->cp, id, &f, x->err) < 0)
		return "unknown path";
	if (type == FD_TYPES__REG)
		return f && f->reg ? f->reg->name : "unknown path";
	if (type == FD_TYPES__PIPE && f && f->pipe)
		return arena_printf(x->a, "pipe[%u]", f->pipe->pipe_id);
	if (type == FD_TYPES__UNIXSK && f && f->usk)
		return unix_name(x, f->usk);
	return arena_printf(x->a, "%s.%u", type_name(type), id);
}

static int show_fds(struct explorer *x, struct checkpoint_task *t)
{
	auto_img_reader struct img_reader *r = NULL;
	const TaskKobjIdsEntry *ids;
	const FsEntry *fs;
	FdinfoEntry *e;
	int got;

	fprintf(x->out, "%u\n", t->pid);
	TRY(checkpoint_ids(x->cp, t, &ids, x->err));
	TRY(img_open(&x->cp->dir, IMG_FDINFO, ids->files_id, &r, x->err));
	while ((got = img_get(r, x->a, &e, x->err)) > 0)
		fprintf(x->out, "\t%7u: %s\n", e->fd, file_name(x, (uint32_t)e->type, e->id));
	TRY(got);
	TRY(checkpoint_fs(x->cp, t, &fs, x->err));
	fprintf(x->out, "\t%7s: %s\n", "cwd", file_name(x, FD_TYPES__REG, fs->cwd_id));
	fprintf(x->out, "\t%7s: %s\n", "root", file_name(x, FD_TYPES__REG, fs->root_id));
	return 0;
}

/* ------------------------------------------------------------------- mems */

#define MAP_GROWSDOWN_BIT 0x100

static size_t number_of(struct explorer *x, uint64_t shmid)
{
	size_t n = map_get(&x->sids, shmid);

	if (n != MAP_NONE)
		return n;
	map_put(&x->sids, shmid, ++x->nsids);
	return x->nsids;
}

static const char *mapping_name(struct explorer *x, const VmaEntry *v)
{
	if (v->status & VMA_AREA_SYSVIPC)
		return arena_printf(x->a, " ips[%zu]", number_of(x, v->shmid));
	if (v->status & VMA_ANON_SHARED)
		return arena_printf(x->a, " shmem[%zu]", number_of(x, v->shmid));
	if (v->status & VMA_AREA_SOCKET)
		return arena_printf(x->a, " packet[%zu]", number_of(x, v->shmid));
	if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED)) {
		const char *name = file_name(x, FD_TYPES__REG, (uint32_t)v->shmid);

		if (v->pgoff)
			name = arena_printf(x->a, "%s + 0x%" PRIx64, name, v->pgoff);
		return arena_printf(x->a, " %s%s", name, v->status & VMA_FILE_SHARED ? " (s)" : "");
	}
	if (v->status & VMA_AREA_STACK)
		return " [stack]";
	if (v->status & VMA_AREA_VSYSCALL)
		return " [vsyscall]";
	if (v->status & VMA_AREA_VDSO)
		return " [vdso]";
	return v->flags & MAP_GROWSDOWN_BIT ? " [stack?]" : "";
}

static int show_mems(struct explorer *x, struct checkpoint_task *t)
{
	const MmEntry *mm;

	fprintf(x->out, "%u\n", t->pid);
	TRY(checkpoint_mm(x->cp, t, &mm, x->err));
	fprintf(x->out, "\t%-36s    %s\n", "exe", file_name(x, FD_TYPES__REG, mm->exe_file_id));
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];
		char range[48];

		snprintf(range, sizeof(range), "%08" PRIx64 "-%08" PRIx64, v->start, v->end);
		fprintf(x->out, "\t%-36s%c%c%c%s%s\n", range, v->prot & 1 ? 'r' : '-',
			v->prot & 2 ? 'w' : '-', v->prot & 4 ? 'x' : '-', mapping_name(x, v),
			v->status & VMA_AREA_REGULAR ? "" : " *");
	}
	return 0;
}

/* -------------------------------------------------------------------- rss */

#define PAGE_BITS 12

/* Where a mapping was shown last, so that it isn't named again and again. */
struct place {
	size_t at, shown;
};

static void show_mapping(struct explorer *x, const VmaEntry *v, bool again)
{
	if (again) {
		fprintf(x->out, " ~");
	} else {
		fprintf(x->out, " %08" PRIx64 " / %-8" PRIu64, v->start,
			(v->end - v->start) >> PAGE_BITS);
		if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
			fprintf(x->out, " %s", file_name(x, FD_TYPES__REG, (uint32_t)v->shmid));
	}
	fprintf(x->out, "\n\t%23s", "");
}

static void show_run(struct explorer *x, const MmEntry *mm, const PagemapEntry *e, struct place *p)
{
	uint64_t pages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;
	uint64_t end = e->vaddr + (pages << PAGE_BITS);
	char text[64];

	snprintf(text, sizeof(text), "\t%" PRIx64 " / %-8" PRIu64, e->vaddr, pages);
	fprintf(x->out, "%-24s", text);
	while (p->at < mm->n_vmas && mm->vmas[p->at]->end <= e->vaddr)
		p->at++;
	for (size_t i = p->at; i < mm->n_vmas && mm->vmas[i]->start < end; i++) {
		show_mapping(x, mm->vmas[i], i == p->shown);
		p->shown = p->at = i;
	}
	fprintf(x->out, "\n");
}

static int show_rss(struct explorer *x, struct checkpoint_task *t)
{
	auto_img_reader struct img_reader *r = NULL;
	struct place p = {.shown = SIZE_MAX};
	struct arena *a = arena_new();
	PagemapHead *head;
	PagemapEntry *e;
	const MmEntry *mm;
	int got;

	fprintf(x->out, "%u\n", t->pid);
	got = checkpoint_mm(x->cp, t, &mm, x->err);
	if (got == 0)
		got = img_open(&x->cp->dir, IMG_PAGEMAP, t->pid, &r, x->err);
	if (got == 0)
		got = img_get(r, a, &head, x->err);
	while (got >= 0 && (got = img_get_as(r, &pagemap_entry__descriptor, a, &e, x->err)) > 0)
		show_run(x, mm, e, &p);
	arena_free(a);
	return got;
}

/* --------------------------------------------------------------- dispatch */

typedef int show_fn(struct explorer *x, struct checkpoint_task *t);

static const struct {
	const char *name;
	show_fn *show;
} views[] = {{"ps", show_ps}, {"fds", show_fds}, {"mems", show_mems}, {"rss", show_rss}};

static show_fn *find_view(const char *what)
{
	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		if (strcmp(views[i].name, what) == 0)
			return views[i].show;
	return NULL;
}

static int show_task(struct explorer *x, struct checkpoint_task *t, show_fn *show)
{
	const CoreEntry *core;

	TRY(checkpoint_core(x->cp, t, &core, x->err));
	if (show == show_ps || !checkpoint_is_zombie(core))
		return show(x, t);
	fprintf(x->out, "%u\n", t->pid);
	return 0;
}

static int explore(struct explorer *x, const char *what)
{
	show_fn *show = find_view(what);

	if (!show)
		return err_input(x->err, "'%s' is none of ps, fds, mems, rss", what);
	if (x->cp->pre_dump)
		return err_input(x->err, "%s: the images of a pre-dump have no processes",
				 x->cp->path);
	if (show == show_ps)
		fprintf(x->out, "%7s%7s%7s   %s\n", "PID", "PGID", "SID", "COMM");
	vec_foreach (t, &x->cp->tasks)
		TRY(show_task(x, t, show));
	return 0;
}

int torpor_checkpoint_explore(struct torpor_checkpoint *cp, const char *what, char **ret)
{
	struct explorer x = {.cp = cp, .a = arena_new(), .err = context_begin(cp->ctx)};
	char *text = NULL;
	size_t len;
	int r;

	x.out = open_memstream(&text, &len);
	r = x.out ? explore(&x, what) : err_sys(x.err, -errno, "memory for the text");
	if (x.out && fclose(x.out) != 0 && r == 0)
		r = err_sys(x.err, -ENOMEM, "memory for the text");
	map_done(&x.sids);
	arena_free(x.a);
	if (r < 0)
		free(text);
	else
		*ret = text;
	return r;
}
