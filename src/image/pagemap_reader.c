/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading pagemap-*.img. What comes out is checked: runs ascend without overlap, their bytes are
 * inside the pages file. Where a run's bytes are follows from the runs before it, so one wrong
 * number would shift all the rest: any doubt refuses the file. The bytes have to be as many as the
 * runs need, neither less nor more.
 *
 * Old forms: without nr_pages the number is in compat_nr_pages; without flags the pages are
 * present, or with in_parent in the parent image.
 */
#include "image/pages.h"

#include "base/auto.h"
#include "base/vec.h"
#include "image/runs.h"
#include "image/schema/pagemap.pb-c.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PE_ALL (PE_PARENT | PE_LAZY | PE_PRESENT | PE_COW)

/* So many entries at a time live unpacked. */
#define ENTRIES_AT_ONCE 4096

struct loader {
	struct pagemap *p;
	VEC(struct page_run) runs;
	struct runs *packed; /* instead of the array, if there is one */
	uint64_t page_size;
	uint64_t end; /* of the last run */
	uint64_t off; /* bytes of the present runs so far */
};

static uint32_t flags_of(const PagemapEntry *e)
{
	uint32_t flags = 0;

	if (e->has_flags)
		flags = e->flags;
	else if (!e->in_parent)
		flags = PE_PRESENT;
	return flags | (e->in_parent ? PE_PARENT : 0);
}

static int check_flags(const struct page_run *run, struct err *err)
{
	bool present = run->flags & PE_PRESENT, parent = run->flags & PE_PARENT;
	bool cow = run->flags & PE_COW;

	if (run->flags & ~PE_ALL)
		return err_input(err, "flags: unknown bits in %#x", run->flags);
	if (!run->flags || present + parent + cow > 1)
		return err_input(err, "flags: %#x doesn't say where the pages are", run->flags);
	if (cow != (run->owner != 0))
		return err_input(err, "cow_pid: %u with flags %#x", run->owner, run->flags);
	return 0;
}

static int add_run(struct loader *l, const PagemapEntry *e, struct err *err)
{
	struct page_run run = {
		.vaddr = e->vaddr,
		.npages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages,
		.flags = flags_of(e),
		.off = l->off,
		.owner = e->cow_pid,
		.huge = e->huge,
	};

	TRY(check_flags(&run, err));
	if (run.vaddr % l->page_size)
		return err_input(err, "vaddr: not at a page border");
	if (run.vaddr < l->end)
		return err_input(err, "vaddr: not behind the run before, which ends at %#" PRIx64,
				 l->end);
	if (!run.npages || run.npages > (INT64_MAX - run.vaddr % INT64_MAX) / l->page_size)
		return err_input(err, "nr_pages: %" PRIu64, run.npages);
	l->end = run.vaddr + run.npages * l->page_size;
	if (l->end <= run.vaddr)
		return err_input(err, "nr_pages: %" PRIu64 " reach over the end of memory",
				 run.npages);
	if (run.flags & PE_PRESENT)
		l->off += run.npages * l->page_size;
	l->p->npages += run.npages;
	if (l->packed)
		runs_add(l->packed, &run);
	else
		*vec_push(&l->runs) = run;
	return 0;
}

/* 1: there may be more of them. */
static int read_some_runs(struct loader *l, struct img_reader *r, struct arena *a, struct err *err)
{
	PagemapEntry *e;

	for (size_t i = 0; i < ENTRIES_AT_ONCE; i++) {
		uint64_t at = img_tell(r);
		int got = img_get_as(r, &pagemap_entry__descriptor, a, &e, err);

		if (got <= 0)
			return got;
		if (add_run(l, e, err) < 0)
			return err_in(err, "%s: record at %" PRIu64 ": run at %#" PRIx64,
				      l->p->name, at, e->vaddr);
	}
	return 1;
}

static int read_runs(struct loader *l, struct img_reader *r, struct err *err)
{
	int more = 1;

	while (more > 0) {
		struct arena *a = arena_new();

		more = read_some_runs(l, r, a, err);
		arena_free(a);
	}
	return more;
}

static int read_head(struct img_reader *r, uint32_t *ret_pages_id, struct err *err)
{
	struct arena *a = arena_new();
	PagemapHead *head;
	int got = img_get(r, a, &head, err);

	if (got > 0)
		*ret_pages_id = head->pages_id;
	arena_free(a);
	return got;
}

/* A pagemap that was cut off between two runs shows only here. */
static int wrong_size(const struct loader *l, const char *name, uint64_t size, struct err *err)
{
	err_input(err, "%s: truncated: %s has %" PRIu64 " bytes, the runs need %" PRIu64,
		  size < l->off ? name : l->p->name, name, size, l->off);
	return err_hint(err, "copy the images again, whole, or take another dump");
}

/* The pages file: there must be one if any of the runs has bytes in it. */
static int map_pages(struct loader *l, const struct img_dir *dir, uint32_t pages_id,
		     struct err *err)
{
	struct pagemap *p = l->p;
	const char *name = p->pages_name;
	struct stat st;
	void *map;

	p->pages_id = pages_id;
	snprintf(p->pages_name, sizeof(p->pages_name), "pages-%" PRIu32 ".img", pages_id);
	p->fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (p->fd < 0 && errno == ENOENT && !l->off)
		return 0;
	if (p->fd < 0)
		return err_sys(err, -errno, "%s: %s: open", p->name, name);
	if (fstat(p->fd, &st) < 0)
		return err_sys(err, -errno, "%s: stat", name);
	if (!S_ISREG(st.st_mode))
		return err_input(err, "%s: not a regular file", name);
	if ((uint64_t)st.st_size != l->off)
		return wrong_size(l, name, (uint64_t)st.st_size, err);
	if (!l->off)
		return 0;
	map = mmap(NULL, l->off, PROT_READ, MAP_SHARED, p->fd, 0);
	if (map == MAP_FAILED)
		return err_sys(err, -errno, "%s: map", name);
	p->pages = map;
	p->pages_len = l->off;
	return 0;
}

static int load(struct loader *l, const struct img_dir *dir, struct img_reader *r, struct err *err)
{
	uint32_t pages_id;
	int got = read_head(r, &pages_id, err);

	if (got < 0)
		return got;
	if (!got)
		return err_input(err, "%s: has no head", l->p->name);
	TRY(read_runs(l, r, err));
	return map_pages(l, dir, pages_id, err);
}

static int load_image(struct loader *l, const struct img_dir *dir, enum img_kind kind, uint64_t id,
		      struct img_reader *r, struct err *err)
{
	int e;

	l->page_size = (uint64_t)getpagesize();
	l->p = xcalloc(1, sizeof(*l->p));
	l->p->fd = -EBADF;
	img_name(kind, id, l->p->name);
	e = load(l, dir, r, err);
	l->p->runs = l->runs.data;
	l->p->nruns = l->packed ? l->packed->n : l->runs.len;
	if (e < 0)
		pagemap_free(l->p);
	return e;
}

int pagemap_load(const struct img_dir *dir, enum img_kind kind, uint64_t id, bool optional,
		 struct pagemap **ret, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	struct loader l = {0};
	char name[IMG_NAME_MAX];

	TRY(img_open(dir, kind, id, &r, err));
	if (!r && !optional) {
		img_name(kind, id, name);
		err_input(err, "%s: missing", name);
		return err_hint(err, "the images in %s are not those of a complete dump",
				dir->path);
	}
	if (r)
		TRY(load_image(&l, dir, kind, id, r, err));
	*ret = l.p;
	return 0;
}

int pagemap_load_packed(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			struct runs *ret_runs, struct pagemap **ret, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	struct runs runs = {0};
	struct loader l = {.packed = &runs};

	TRY(img_open(dir, kind, id, &r, err));
	if (r && load_image(&l, dir, kind, id, r, err) < 0) {
		runs_done(&runs);
		return err->code;
	}
	runs_fit(&runs);
	*ret_runs = runs;
	*ret = l.p;
	return 0;
}

void pagemap_free(struct pagemap *p)
{
	if (!p)
		return;
	if (p->pages)
		munmap((void *)p->pages, p->pages_len);
	fd_close(p->fd);
	free(p->runs);
	free(p);
}

size_t pagemap_find(const struct pagemap *p, uint64_t vaddr)
{
	uint64_t page_size = (uint64_t)getpagesize();
	size_t lo = 0, hi = p->nruns;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct page_run *run = &p->runs[mid];

		if (run->vaddr + run->npages * page_size <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
