/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: mappings ascend without overlap and lie in user space, guards follow behind all of them
 * and inside them, what is mapped exists, and pages belong to mappings that keep pages of their
 * own. Format facts: ../shared/formats/IMAGES.md sections 6 and 7.
 */
#include "image/check_priv.h"

#include "base/auto.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/mm.pb-c.h"
#include "image/store_priv.h"
#include "image/vma_status.h"

#define ST_FILE	   (VMA_FILE_PRIVATE | VMA_FILE_SHARED)
#define ST_BACKING (ST_FILE | VMA_ANON_SHARED | VMA_ANON_PRIVATE)

/* TASK_SIZE of x86-64 with four levels of page tables, which is what mmap() gives without a hint.
 */
#define USER_END UINT64_C(0x7ffffffff000)

struct mm {
	struct check *c;
	const MmEntry *e;
	char image[IMG_NAME_MAX];
	size_t nreal; /* mappings before the guards */
	struct err *err;
};

static int bad(const struct mm *m, const VmaEntry *v, const char *what)
{
	return err_input(m->err, "%s: mapping %" PRIx64 "-%" PRIx64 ": %s", m->image, v->start,
			 v->end, what);
}

/* -------------------------------------------------------------- mappings */

static int check_range(const struct mm *m, const VmaEntry *v)
{
	if (v->start % CHECK_PAGE || v->end % CHECK_PAGE || v->start >= v->end)
		return bad(m, v, "start, end: not a range of pages");
	if (v->status & VMA_AREA_VSYSCALL)
		return 0; /* the kernel's, above all user space */
	if (v->end > USER_END)
		return bad(m, v, "end: beyond user space");
	if (v->pgoff % CHECK_PAGE || v->pgoff > INT64_MAX - (v->end - v->start))
		return bad(m, v, "pgoff");
	return 0;
}

static int check_backing(const struct mm *m, const VmaEntry *v)
{
	uint32_t type = v->status & VMA_AREA_MEMFD ? FD_TYPES__MEMFD : FD_TYPES__REG;

	if (v->status & VMA_AREA_SOCKET)
		return check_file_id(m->c, m->image, "vmas.shmid", v->shmid, FD_TYPES__PACKETSK,
				     m->err);
	if ((v->status & VMA_AREA_REGULAR) && __builtin_popcount(v->status & ST_BACKING) != 1)
		return bad(m, v, "status: unclear what is mapped");
	if (v->status & ST_FILE)
		return check_file_id(m->c, m->image, "vmas.shmid", v->shmid, type, m->err);
	if ((v->status & VMA_ANON_SHARED) && !(v->status & VMA_AREA_SYSVIPC))
		return check_shmem(m->c, v->shmid, INT64_MAX, m->err);
	return 0;
}

static int check_vmas(struct mm *m)
{
	uint64_t end = 0;

	for (size_t i = 0; i < m->e->n_vmas; i++) {
		const VmaEntry *v = m->e->vmas[i];
		bool guard = v->status & VMA_AREA_GUARD;

		TRY(check_range(m, v));
		if (!guard && m->nreal < i)
			return bad(m, v, "start: a mapping behind guards");
		if (guard && m->nreal == i)
			end = 0; /* the first of them */
		if (v->start < end)
			return bad(m, v, "start: not behind the mapping before");
		end = v->end;
		m->nreal += !guard;
		NOTE(m->c, check_backing(m, v), m->err);
	}
	return 0;
}

/* The mapping that holds this address, or the first one behind it. */
static size_t find_vma(const struct mm *m, uint64_t at)
{
	size_t lo = 0, hi = m->nreal;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->e->vmas[mid]->end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool any_mapping(const VmaEntry *v)
{
	return true;
}

static bool has_own_pages(const VmaEntry *v)
{
	if (v->status & (VMA_AREA_SHSTK | VMA_AREA_AIORING))
		return true;
	return (v->status & VMA_AREA_REGULAR) && !(v->status & VMA_AREA_VVAR) &&
	       (v->status & (VMA_ANON_PRIVATE | VMA_FILE_PRIVATE));
}

/* Is all of the range covered, over the borders of adjacent mappings? */
static bool is_covered(const struct mm *m, uint64_t start, uint64_t end,
		       bool (*fits)(const VmaEntry *v))
{
	for (size_t i = find_vma(m, start); start < end; i++) {
		if (i == m->nreal || m->e->vmas[i]->start > start || !fits(m->e->vmas[i]))
			return false;
		start = m->e->vmas[i]->end;
	}
	return true;
}

static int check_guards(const struct mm *m)
{
	for (size_t i = m->nreal; i < m->e->n_vmas; i++) {
		const VmaEntry *v = m->e->vmas[i];

		if (!is_covered(m, v->start, v->end, any_mapping))
			return bad(m, v, "a guard outside of mappings");
	}
	return 0;
}

/* ----------------------------------------------------------------- pages */

/* Whose page is it? A live task's, and not its own. */
static int check_owner(const struct mm *m, const struct pagemap *p, const struct page_run *r,
		       uint32_t pid)
{
	const uint32_t *place = idmap_find(&m->c->pids, r->owner);
	const struct check_task *owner = place ? &m->c->tasks.data[*place] : NULL;

	if (!owner && m->c->tree_unknown)
		return 0;
	if (owner && owner->e->pid == r->owner && r->owner != pid && !owner->zombie)
		return 0;
	err_input(m->err, "%s: run at %#" PRIx64 ": cow_pid: %u isn't another task of the tree",
		  p->name, r->vaddr, r->owner);
	return err_hint(m->err, "copy the images again, whole, or take another dump");
}

static int check_runs(const struct mm *m, const struct store_image *im, uint32_t pid)
{
	const struct pagemap *p = im->pm;
	struct runs_cursor c = {0};

	while (runs_next(&im->runs, &c)) {
		const struct page_run *r = &c.run;

		if (!is_covered(m, r->vaddr, r->vaddr + r->npages * CHECK_PAGE, has_own_pages))
			NOTE(m->c,
			     err_input(m->err,
				       "%s: run at %#" PRIx64 ": vaddr: its %" PRIu64
				       " pages aren't all of private mappings",
				       p->name, r->vaddr, r->npages),
			     m->err);
		if (r->flags & PE_COW)
			NOTE(m->c, check_owner(m, p, r, pid), m->err);
	}
	return 0;
}

/*
 * Mappings are held against this level only: a parent may have pages that nobody needs any more.
 * Each page must have its bytes somewhere, though.
 */
static int check_pagemap(const struct mm *m, uint32_t pid)
{
	const struct page_map *map;
	struct store_image *im;

	TRY(store_image_get(m->c->store, 0, IMG_PAGEMAP, pid, &im, m->err));
	if (im->pm)
		TRY(check_runs(m, im, pid));
	return page_store_map(m->c->store, IMG_PAGEMAP, pid, /* optional= */ false, &map, m->err);
}

static int check_offsets(const struct store_image *im, uint64_t size, struct err *err)
{
	const struct pagemap *p = im->pm;
	struct runs_cursor c = {0};

	while (runs_next(&im->runs, &c)) {
		const struct page_run *run = &c.run;

		/* The last page may be partly behind the object's end. */
		if (run->vaddr >= size ||
		    run->npages > (size - run->vaddr + CHECK_PAGE - 1) / CHECK_PAGE)
			return err_input(err,
					 "%s: run at %#" PRIx64 ": nr_pages: %" PRIu64
					 " reach over the object's end",
					 p->name, run->vaddr, run->npages);
	}
	return 0;
}

int check_shmem(struct check *c, uint64_t shmid, uint64_t size, struct err *err)
{
	const struct page_map *map;
	struct store_image *im;

	if (!c->store || !idmap_add(&c->shmids, shmid, 0))
		return 0;
	TRY(store_image_get(c->store, 0, IMG_PAGEMAP_SHMEM, shmid, &im, err));
	if (im->pm)
		TRY(check_offsets(im, size, err));
	return page_store_map(c->store, IMG_PAGEMAP_SHMEM, shmid, /* optional= */ true, &map, err);
}

int check_mem(struct check *c, const struct check_task *t, struct err *err)
{
	struct mm m = {.c = c, .err = err};
	MmEntry *e;

	img_name(IMG_MM, t->e->pid, m.image);
	TRY(img_read_one(c->dir, IMG_MM, t->e->pid, check_scratch(c), &e, err));
	m.e = e;
	NOTE(c, check_file_id(c, m.image, "exe_file_id", e->exe_file_id, FD_TYPES__REG, err), err);
	if (e->n_mm_saved_auxv % 2)
		NOTE(c,
		     err_input(err, "%s: mm_saved_auxv: %zu words aren't pairs", m.image,
			       e->n_mm_saved_auxv),
		     err);
	TRY(check_vmas(&m));
	TRY(check_guards(&m));
	return c->store ? check_pagemap(&m, t->e->pid) : 0;
}
