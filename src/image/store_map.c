/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From runs to bytes. A run is followed, from pagemap to pagemap, until one has the bytes: through
 * PE_PARENT to the same name one level down, through PE_COW to another task of the same level. What
 * comes out is as long as the shortest run on the way; the next piece begins behind it.
 *
 * Runs are visited in ascending order, in every pagemap on the way too, so that finding the next
 * one is mostly a look at the neighbour: the whole costs what the runs cost, times the depth.
 */
#include "image/store.h"

#include "base/auto.h"
#include "image/store_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Never reached: no address space has so many. */
#define PIECE_PAGES_MAX (UINT64_MAX >> 1)

/* Pages that are together in one file. */
struct found {
	struct store_image *image;
	uint64_t vaddr, off, npages;
	bool huge;
};

struct walk {
	struct page_store *s;
	uint64_t page_size;
	struct store_image *from; /* the pagemap whose map is made */
	/* What is done with pages that were found. */
	void (*keep)(struct walk *w, const struct found *f);
	VEC(struct page_piece) pieces; /* of keep_piece */
	page_origin_fn *tell;	       /* of keep_origin */
	void *tell_arg;
	struct err *err;
};

static uint64_t end_of(const struct walk *w, const struct page_run *r)
{
	return r->vaddr + r->npages * w->page_size;
}

/* The run that holds vaddr; NULL: none does. Good until the next one is looked for. */
static const struct page_run *find_run(struct store_image *im, uint64_t vaddr)
{
	if (!runs_seek(&im->runs, &im->cursor, vaddr) || im->cursor.run.vaddr > vaddr)
		return NULL;
	return &im->cursor.run;
}

/* ---------------------------------------------------------------- refusals */

static int chain_is_broken(const struct walk *w, struct err *err)
{
	return err_hint(err,
			"the images in %s can't be used without those that they build on: "
			"take another dump",
			w->s->levels.data[0].path);
}

/* There is no level for it. */
static int no_parent(const struct walk *w, const struct store_image *im, uint64_t vaddr)
{
	const struct store_level *l = &w->s->levels.data[im->level];

	if (w->s->no_parent.code) {
		*w->err = w->s->no_parent;
		return err_in(w->err, "%s: page at %#" PRIx64 " is in the parent images",
			      im->pm->name, vaddr);
	}
	err_input(w->err,
		  "%s: page at %#" PRIx64 " is in the parent images, but %s has no 'parent'",
		  im->pm->name, vaddr, l->path);
	return chain_is_broken(w, w->err);
}

/* `im` doesn't have what the pagemap before it says. */
static int not_there(const struct walk *w, const struct store_image *im, uint64_t vaddr)
{
	char name[IMG_NAME_MAX];

	img_name(im->kind, im->id, name);
	err_input(w->err, "%s: page at %#" PRIx64 " is neither here nor in %s of %s",
		  w->from->pm->name, vaddr, name, w->s->levels.data[im->level].path);
	return chain_is_broken(w, w->err);
}

static int is_lazy(const struct walk *w, const struct store_image *im, uint64_t vaddr)
{
	err_input(w->err,
		  "%s: page at %#" PRIx64
		  " was left to a lazy-pages server, which isn't supported yet",
		  im->pm->name, vaddr);
	err_hint(w->err, "make a dump without --lazy-pages");
	return store_err_in(w->s, im->level, w->err);
}

/* Flags that no dump writes. */
static int bad_flags(const struct walk *w, const struct store_image *im, uint64_t vaddr,
		     const char *what)
{
	err_input(w->err, "%s: page at %#" PRIx64 ": flags: %s", im->pm->name, vaddr, what);
	err_hint(w->err, "copy the images again, whole, or take another dump");
	return store_err_in(w->s, im->level, w->err);
}

/* --------------------------------------------------------------- following */

/* One step from run `r` of *im, which hasn't the bytes itself. */
static int step(const struct walk *w, struct store_image **im, const struct page_run *r,
		uint64_t vaddr, bool lent)
{
	const struct store_image *at = *im;

	if (r->flags & PE_PARENT) {
		if (at->level + 1 >= w->s->levels.len)
			return no_parent(w, at, vaddr);
		return store_image_get(w->s, at->level + 1, at->kind, at->id, im, w->err);
	}
	if (!(r->flags & PE_COW))
		return is_lazy(w, at, vaddr);
	if (at->kind != IMG_PAGEMAP)
		return bad_flags(w, at, vaddr, "shared memory isn't another task's");
	if (lent)
		return bad_flags(w, at, vaddr, "the owner's page is another task's in turn");
	return store_image_get(w->s, at->level, at->kind, r->owner, im, w->err);
}

/* At most max pages from vaddr on, which are together in one file. */
static int follow(const struct walk *w, uint64_t vaddr, uint64_t max, struct found *ret)
{
	struct store_image *im = w->from;
	bool lent = false;

	for (;;) {
		const struct page_run *r = im->pm ? find_run(im, vaddr) : NULL;

		if (!r)
			return not_there(w, im, vaddr);
		max = MIN(max, r->npages - (vaddr - r->vaddr) / w->page_size);
		if (r->flags & PE_PRESENT) {
			*ret = (struct found){.image = im,
					      .vaddr = vaddr,
					      .off = r->off + (vaddr - r->vaddr),
					      .npages = max};
			return 0;
		}
		TRY(step(w, &im, r, vaddr, lent));
		lent = r->flags & PE_COW;
	}
}

static void add_piece(struct walk *w, const struct page_piece *p)
{
	struct page_piece *last = w->pieces.len ? &w->pieces.data[w->pieces.len - 1] : NULL;
	uint64_t len = last ? last->npages * w->page_size : 0;

	if (last && last->vaddr + len == p->vaddr && last->src + len == p->src &&
	    last->huge == p->huge)
		last->npages = (last->npages + p->npages) & PIECE_PAGES_MAX;
	else
		*vec_push(&w->pieces) = *p;
}

static void keep_piece(struct walk *w, const struct found *f)
{
	add_piece(w, &(struct page_piece){
			     .vaddr = f->vaddr,
			     .npages = f->npages & PIECE_PAGES_MAX,
			     .src = f->image->pm->pages + f->off,
			     .huge = f->huge,
		     });
}

static void keep_origin(struct walk *w, const struct found *f)
{
	w->tell(w->tell_arg, &(struct page_origin){
				     .vaddr = f->vaddr,
				     .npages = f->npages,
				     .level = f->image->level,
				     .id = f->image->id,
				     .src = f->image->pm->pages + f->off,
				     .dev = f->image->dev,
				     .ino = f->image->ino,
				     .off = f->off,
			     });
}

static void keep_mark(struct walk *w, const struct found *f)
{
	struct store_image *im = f->image;
	uint64_t first = f->off / w->page_size;

	if (!im->used)
		im->used = xcalloc(im->pm->pages_len / w->page_size / 8 + 1, 1);
	for (uint64_t page = first; page < first + f->npages; page++)
		im->used[page / 8] |= (uint8_t)(1u << page % 8);
}

static int walk_run(struct walk *w, const struct page_run *r)
{
	uint64_t end = end_of(w, r);

	for (uint64_t vaddr = r->vaddr; vaddr < end;) {
		struct found f = {0};

		TRY(follow(w, vaddr, (end - vaddr) / w->page_size, &f));
		f.huge = r->huge;
		w->keep(w, &f);
		vaddr += f.npages * w->page_size;
	}
	return 0;
}

static int walk_runs(struct walk *w)
{
	struct runs_cursor c = {0};

	while (runs_next(&w->from->runs, &c))
		TRY(walk_run(w, &c.run));
	return 0;
}

static int make_map(struct page_store *s, struct store_image *im, struct err *err)
{
	struct walk w = {.s = s,
			 .page_size = (uint64_t)getpagesize(),
			 .from = im,
			 .keep = keep_piece,
			 .err = err};
	int r = walk_runs(&w);

	if (r < 0) {
		vec_done(&w.pieces);
		return r;
	}
	if (!im->map)
		im->map = xcalloc(1, sizeof(*im->map));
	im->map->dropped = false;
	if (w.pieces.len)
		w.pieces.data = xrealloc(w.pieces.data, w.pieces.len, sizeof(*w.pieces.data));
	im->map->pieces = w.pieces.data;
	im->map->n = w.pieces.len;
	im->map->npages = im->pm->npages;
	memcpy(im->map->name, im->pm->name, sizeof(im->map->name));
	return 0;
}

int store_mark_used(struct page_store *s, struct store_image *im, struct err *err)
{
	struct walk w = {.s = s,
			 .page_size = (uint64_t)getpagesize(),
			 .from = im,
			 .keep = keep_mark,
			 .err = err};

	return walk_runs(&w);
}

int page_store_origins(struct page_store *s, enum img_kind kind, uint64_t id, page_origin_fn *fn,
		       void *arg, struct err *err)
{
	struct walk w = {.s = s,
			 .page_size = (uint64_t)getpagesize(),
			 .keep = keep_origin,
			 .tell = fn,
			 .tell_arg = arg,
			 .err = err};

	TRY(store_image_get(s, 0, kind, id, &w.from, err));
	return w.from->pm ? walk_runs(&w) : 0;
}

int page_store_written(struct page_store *s, size_t level, enum img_kind kind, uint64_t id,
		       page_origin_fn *fn, void *arg, struct err *err)
{
	struct runs_cursor c = {0};
	struct store_image *im;

	TRY(store_image_get(s, level, kind, id, &im, err));
	if (!im->pm)
		return 0;
	while (runs_next(&im->runs, &c))
		if (c.run.flags & PE_PRESENT)
			fn(arg, &(struct page_origin){.vaddr = c.run.vaddr,
						      .npages = c.run.npages,
						      .level = level,
						      .id = id,
						      .src = im->pm->pages + c.run.off,
						      .dev = im->dev,
						      .ino = im->ino,
						      .off = c.run.off});
	return 0;
}

static int absent(const struct page_store *s, enum img_kind kind, uint64_t id, struct err *err)
{
	char name[IMG_NAME_MAX];

	img_name(kind, id, name);
	err_input(err, "%s: missing", name);
	return err_hint(err, "the images in %s are not those of a complete dump",
			s->levels.data[0].path);
}

int page_store_map(struct page_store *s, enum img_kind kind, uint64_t id, bool optional,
		   const struct page_map **ret, struct err *err)
{
	struct store_image *im;

	TRY(store_image_get(s, 0, kind, id, &im, err));
	if (!im->pm && !optional)
		return absent(s, kind, id, err);
	if (im->pm && (!im->map || im->map->dropped))
		TRY(make_map(s, im, err));
	*ret = im->map;
	return 0;
}

void page_map_drop(const struct page_map *m)
{
	struct page_map *map = (struct page_map *)m; /* const only for users of the store */

	if (!map)
		return;
	free(map->pieces);
	map->pieces = NULL;
	map->n = 0;
	map->dropped = true;
}

size_t page_map_find(const struct page_map *m, uint64_t vaddr)
{
	uint64_t page_size = (uint64_t)getpagesize();
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->pieces[mid].vaddr + m->pieces[mid].npages * page_size <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* --------------------------------------------------------- what is in use */

struct extent {
	struct store_image *image;
	uintptr_t start, end; /* where its pages file is mapped */
};

static int by_start(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* All mapped pages files, by address. */
static size_t list_extents(const struct page_store *s, struct extent **ret)
{
	VEC(struct extent) all = {0};

	vec_foreach (l, &s->levels) {
		vec_foreach (im, &l->images) {
			const struct pagemap *p = (*im)->pm;

			if (p && p->pages)
				*vec_push(&all) = (struct extent){
					.image = *im,
					.start = (uintptr_t)p->pages,
					.end = (uintptr_t)p->pages + p->pages_len,
				};
		}
	}
	if (all.len)
		qsort(all.data, all.len, sizeof(*all.data), by_start);
	*ret = all.data;
	return all.len;
}

static struct store_image *image_at(const struct extent *e, size_t n, uintptr_t at)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && e[lo].start <= at ? e[lo].image : NULL;
}

static int by_place(const void *a, const void *b)
{
	const struct store_range *x = a, *y = b;
	uintptr_t p = (uintptr_t)x->image, q = (uintptr_t)y->image;

	if (x->image->level != y->image->level)
		return x->image->level < y->image->level ? -1 : 1;
	if (p != q)
		return p < q ? -1 : 1;
	return (x->off > y->off) - (x->off < y->off);
}

/* Sorted ones, each byte once. */
static size_t merge_ranges(struct store_range *r, size_t n)
{
	size_t to = 0;

	for (size_t i = 1; i < n; i++) {
		uint64_t end = r[to].off + r[to].len;

		if (r[i].image != r[to].image || r[i].off > end)
			r[++to] = r[i];
		else
			r[to].len = MAX(end, r[i].off + r[i].len) - r[to].off;
	}
	return n ? to + 1 : 0;
}

size_t store_ranges(struct page_store *s, struct store_range **ret)
{
	uint64_t page_size = (uint64_t)getpagesize();
	auto_free struct extent *extents = NULL;
	size_t n = list_extents(s, &extents);
	VEC(struct store_range) all = {0};

	vec_foreach (im, &s->levels.data[0].images) {
		const struct page_map *m = (*im)->map;

		for (size_t i = 0; m && i < m->n; i++) {
			const struct page_piece *p = &m->pieces[i];
			struct store_image *of = image_at(extents, n, (uintptr_t)p->src);

			*vec_push(&all) = (struct store_range){
				.image = of,
				.off = (uint64_t)(p->src - of->pm->pages),
				.len = p->npages * page_size,
			};
		}
	}
	if (all.len)
		qsort(all.data, all.len, sizeof(*all.data), by_place);
	*ret = all.data;
	return merge_ranges(all.data, all.len);
}
