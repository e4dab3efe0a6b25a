/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/space.h"

#include "base/auto.h"
#include "image/schema/memfd.pb-c.h"
#include "image/vma_status.h"

#include <inttypes.h>
#include <string.h>

/* What five levels of page tables can address; all that is above is the kernel's. */
#define SPACE_END (UINT64_C(1) << 56)

struct maker {
	struct space *s;
	char image[IMG_NAME_MAX];
	struct map memfds; /* inode ids to places in `inodes` */
	VEC(const MemfdInodeEntry *) inodes;
	bool memfds_loaded;
	struct err *err;
};

/* ------------------------------------------------------------------ making */

static int bad(const struct maker *m, const VmaEntry *v, const char *what)
{
	err_input(m->err, "%s: mapping %#" PRIx64 "-%#" PRIx64 ": %s", m->image, v->start, v->end,
		  what);
	return err_hint(m->err, "see torpor image check");
}

static int check_range(const struct maker *m, const VmaEntry *v)
{
	const struct space *s = m->s;

	if (v->start % SPACE_PAGE || v->end % SPACE_PAGE || v->start >= v->end)
		return bad(m, v, "start, end: not a range of pages");
	if (v->end > SPACE_END && !(v->status & VMA_AREA_VSYSCALL))
		return bad(m, v, "end: beyond any address space");
	if (v->pgoff % SPACE_PAGE || v->pgoff > INT64_MAX - (v->end - v->start))
		return bad(m, v, "pgoff: not that of a page in a file");
	if (s->n && v->start < s->areas[s->n - 1].end)
		return bad(m, v, "start: not behind the mapping before");
	return 0;
}

static int load_memfds(struct maker *m)
{
	struct torpor_checkpoint *cp = m->s->cp;
	auto_img_reader struct img_reader *r = NULL;
	MemfdInodeEntry *e;
	int got;

	TRY(img_open(&cp->dir, IMG_MEMFD, 0, &r, m->err));
	while ((got = img_get(r, m->s->a, &e, m->err)) > 0) {
		map_put(&m->memfds, e->inode_id, m->inodes.len);
		*vec_push(&m->inodes) = e;
	}
	m->memfds_loaded = got == 0;
	return got;
}

static int find_memfd(struct maker *m, const VmaEntry *v, uint32_t inode_id,
		      const MemfdInodeEntry **ret)
{
	size_t at;

	if (!m->memfds_loaded)
		TRY(load_memfds(m));
	at = map_get(&m->memfds, inode_id);
	if (at == MAP_NONE)
		return bad(m, v, "shmid: its memfd isn't in memfd.img");
	*ret = m->inodes.data[at];
	return 0;
}

static int use_object(struct maker *m, struct area *a)
{
	struct page_store *store;

	a->backing = BACKING_OBJECT;
	TRY(checkpoint_store(m->s->cp, &store, m->err));
	return page_store_map(store, IMG_PAGEMAP_SHMEM, a->shmid, /* optional= */ true, &a->object,
			      m->err);
}

static int use_memfd(struct maker *m, const VmaEntry *v, const FileEntry *f, struct area *a)
{
	const MemfdInodeEntry *inode = NULL;

	TRY(find_memfd(m, v, f->memfd->inode_id, &inode));
	a->object_name = inode->name;
	a->object_size = inode->size;
	a->shmid = inode->shmid;
	return use_object(m, a);
}

static int use_file(struct maker *m, const VmaEntry *v, struct area *a)
{
	const FileEntry *f = NULL;

	if (v->shmid <= UINT32_MAX)
		TRY(checkpoint_file(m->s->cp, (uint32_t)v->shmid, &f, m->err));
	if (f && (v->status & VMA_AREA_MEMFD) && f->memfd)
		return use_memfd(m, v, f, a);
	if (!f || !f->reg || (v->status & VMA_AREA_MEMFD))
		return bad(m, v, "shmid: its file isn't in files.img");
	a->backing = BACKING_FILE;
	a->reg = f->reg;
	a->file_id = f->id;
	return 0;
}

static int set_backing(struct maker *m, const VmaEntry *v, struct area *a)
{
	if (v->status & (VMA_AREA_VSYSCALL | VMA_AREA_VVAR | VMA_AREA_SOCKET)) {
		a->backing = BACKING_NONE;
		return 0;
	}
	if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
		return use_file(m, v, a);
	if (v->status & VMA_ANON_SHARED) {
		a->shmid = v->shmid;
		a->object_size = UINT64_MAX; /* as long as its mappings */
		return use_object(m, a);
	}
	return 0;
}

static int add_area(struct maker *m, const VmaEntry *v)
{
	const uint32_t own = VMA_FILE_PRIVATE | VMA_ANON_PRIVATE | VMA_AREA_SHSTK |
			     VMA_AREA_AIORING;
	struct area *a = &m->s->areas[m->s->n];

	TRY(check_range(m, v));
	*a = (struct area){
		.start = v->start,
		.end = v->end,
		.pgoff = v->pgoff,
		.prot = v->prot,
		.flags = v->flags,
		.status = v->status,
		.own_pages = v->status & own,
		.object_name = "",
	};
	TRY(set_backing(m, v, a));
	m->s->n++;
	return 0;
}

static int add_areas(struct maker *m)
{
	struct space *s = m->s;
	struct page_store *store;

	s->areas = arena_array_of(s->a, struct area, s->mm->n_vmas + 1);
	for (size_t i = 0; i < s->mm->n_vmas; i++)
		if (!(s->mm->vmas[i]->status & VMA_AREA_GUARD))
			TRY(add_area(m, s->mm->vmas[i]));
	TRY(checkpoint_store(s->cp, &store, m->err));
	return page_store_map(store, IMG_PAGEMAP, s->pid, /* optional= */ false, &s->pages, m->err);
}

/* ----------------------------------------------------------------- opening */

static int load_mm(struct space *s, struct err *err)
{
	struct torpor_checkpoint *cp = s->cp;
	const struct checkpoint_task *found = checkpoint_find(cp, s->pid, err);
	struct checkpoint_task *t;
	const CoreEntry *core;

	if (!found)
		return err->code;
	if (cp->pre_dump) {
		err_input(err, "%s: images of a pre-dump: there are pages, but no mappings",
			  cp->path);
		return err_hint(err, "name the directory of the dump that was made after it");
	}
	t = &cp->tasks.data[found - cp->tasks.data];
	TRY(checkpoint_core(cp, t, &core, err));
	if (checkpoint_is_zombie(core)) {
		err_input(err, "process %u: it was dead (a zombie), and has no memory", s->pid);
		return err_hint(err, "name a process that was alive");
	}
	return checkpoint_mm(cp, t, &s->mm, err);
}

static int fill_space(struct space *s, struct err *err)
{
	struct maker m = {.s = s, .err = err};
	int r;

	TRY(load_mm(s, err));
	img_name(IMG_MM, s->pid, m.image);
	r = add_areas(&m);
	map_done(&m.memfds);
	vec_done(&m.inodes);
	return r;
}

int space_open(struct torpor_checkpoint *cp, uint32_t pid, struct space **ret, struct err *err)
{
	struct space *s = cp->space;
	int r;

	if (!s || s->pid != pid) {
		space_close(s);
		cp->space = NULL;
		s = xcalloc(1, sizeof(*s));
		s->cp = cp;
		s->pid = pid;
		s->a = arena_new();
		r = fill_space(s, err);
		if (r < 0) {
			space_close(s);
			return r;
		}
		cp->space = s;
	}
	*ret = s;
	return 0;
}

void space_close(struct space *s)
{
	if (!s)
		return;
	page_map_drop(s->pages);
	space_files_close(s);
	arena_free(s->a);
	free(s);
}

/* ------------------------------------------------------------------- areas */

size_t space_find(const struct space *s, uint64_t addr)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->areas[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_stack(const struct space *s, const struct area *a)
{
	return a->start <= s->mm->mm_start_stack && s->mm->mm_start_stack < a->end;
}

const char *space_kind(const struct space *s, const struct area *a)
{
	static const struct {
		uint32_t bits;
		const char *kind;
	} kinds[] = {
		{VMA_AREA_VSYSCALL, "vsyscall"},
		{VMA_AREA_VVAR, "vvar"},
		{VMA_AREA_VDSO, "vdso"},
		{VMA_AREA_SOCKET, "packet socket"},
		{VMA_AREA_AIORING, "aio ring"},
		{VMA_AREA_SHSTK, "shadow stack"},
		{VMA_AREA_SYSVIPC, "sysv shared memory"},
		{VMA_AREA_MEMFD | VMA_FILE_PRIVATE, "private memfd"},
		{VMA_FILE_PRIVATE, "file"},
		{VMA_AREA_HEAP, "heap"},
	};

	if (a->backing == BACKING_OBJECT && strcmp(a->object_name, "/dev/zero") == 0)
		return "shared memory";
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((a->status & kinds[i].bits) == kinds[i].bits)
			return kinds[i].kind;
	if (a->backing == BACKING_OBJECT)
		return a->status & VMA_AREA_MEMFD ? "memfd" : "shared memory";
	if (a->backing == BACKING_FILE)
		return "shared file";
	return is_stack(s, a) ? "stack" : "anonymous";
}

const char *space_name(const struct area *a)
{
	if (a->backing == BACKING_FILE)
		return a->reg->name;
	return a->object_name[0] ? a->object_name : NULL;
}

/* ----------------------------------------------------------------- extents */

/* Cuts it at the piece that holds `at`, or in front of the next one. True: it is in there. */
static bool cut_at_piece(const struct page_map *m, uint64_t at, struct extent *x)
{
	size_t i = m ? page_map_find(m, at) : 0;
	const struct page_piece *p;
	uint64_t end;

	if (!m || i == m->n)
		return false;
	p = &m->pieces[i];
	if (p->vaddr > at) {
		x->len = MIN(x->len, p->vaddr - at);
		return false;
	}
	end = p->vaddr + p->npages * SPACE_PAGE;
	x->len = MIN(x->len, end - at);
	x->from = EXTENT_IMAGE;
	x->src = p->src + (at - p->vaddr);
	return true;
}

/* Not the process's own. */
static void set_shared(const struct area *a, uint64_t off, uint64_t size, struct extent *x)
{
	uint64_t end = size > INT64_MAX ? UINT64_MAX
					: (size + SPACE_PAGE - 1) / SPACE_PAGE * SPACE_PAGE;

	if (off >= end) {
		x->from = EXTENT_NONE;
		return;
	}
	x->len = MIN(x->len, end - off);
	if (a->backing == BACKING_FILE) {
		x->from = EXTENT_FILE;
		x->file_off = off;
	} else if (!cut_at_piece(a->object, off, x)) {
		x->from = EXTENT_ZERO;
	}
}

void space_extent(const struct space *s, const struct area *a, uint64_t addr, struct extent *ret)
{
	uint64_t off = a->pgoff + (addr - a->start);

	*ret = (struct extent){.area = a, .start = addr, .len = a->end - addr};
	if (a->own_pages && cut_at_piece(s->pages, addr, ret))
		return;
	switch (a->backing) {
	case BACKING_ZERO:
		ret->from = EXTENT_ZERO;
		return;
	case BACKING_NONE:
		ret->from = EXTENT_NONE;
		return;
	case BACKING_OBJECT:
		set_shared(a, off, a->object_size, ret);
		return;
	case BACKING_FILE:
		set_shared(a, off, a->reg->has_size ? a->reg->size : UINT64_MAX, ret);
		return;
	}
}
