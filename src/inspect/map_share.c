/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages are one for several processes. The images say for each page where its bytes are: a
 * directory, and a task there. Two processes share a page if that is the same place for both. That
 * a page is stored with another task isn't enough: since then the other one may have written to its
 * own, and nobody shares it any more.
 *
 * Three steps, so that only what can be shared takes memory: pages that are stored with another
 * task; of each task, its own pages that somebody else has borrowed; then, place by place, how many
 * have which range.
 */
#include "base/auto.h"
#include "inspect/map_model.h"

/* A range that begins or ends to be one process's. */
struct edge {
	size_t level;
	uint64_t id;
	uint64_t at;
	int change; /* +1, -1 */
};

struct sharing {
	struct amap *am;
	uint32_t pid;				/* whose pages are looked at */
	bool own;				/* those it has itself, or those of others? */
	VEC(struct amap_shared_range) borrowed; /* sorted once the first step is over */
	VEC(struct edge) edges;
};

static int compare_places(size_t level, uint64_t id, size_t other_level, uint64_t other_id)
{
	if (level != other_level)
		return level < other_level ? -1 : 1;
	return (id > other_id) - (id < other_id);
}

static int by_range(const void *a, const void *b)
{
	const struct amap_shared_range *x = a, *y = b;
	int r = compare_places(x->level, x->id, y->level, y->id);

	return r ? r : (x->start > y->start) - (x->start < y->start);
}

static int by_edge(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	int r = compare_places(x->level, x->id, y->level, y->id);

	if (r)
		return r;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return y->change - x->change; /* ranges that touch each other are one */
}

/* The first range of this place that ends behind `at`, or what follows. */
static size_t find_range(const struct amap_shared_range *r, size_t n, const struct page_origin *o,
			 uint64_t at)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = compare_places(r[mid].level, r[mid].id, o->level, o->id);

		if (c < 0 || (c == 0 && r[mid].end <= at))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_of_place(const struct amap_shared_range *r, const struct page_origin *o)
{
	return compare_places(r->level, r->id, o->level, o->id) == 0;
}

/* ------------------------------------------------------------------- steps */

static void add_use(struct sharing *s, const struct page_origin *o, uint64_t start, uint64_t end)
{
	*vec_push(&s->edges) = (struct edge){o->level, o->id, start, +1};
	*vec_push(&s->edges) = (struct edge){o->level, o->id, end, -1};
}

/* Several processes may have borrowed the same: the merged list has each range once. */
static void merge_borrowed(struct sharing *s)
{
	struct amap_shared_range *r = s->borrowed.data;
	size_t to = 0;

	if (!s->borrowed.len)
		return;
	qsort(r, s->borrowed.len, sizeof(*r), by_range);
	for (size_t i = 1; i < s->borrowed.len; i++) {
		if (compare_places(r[to].level, r[to].id, r[i].level, r[i].id) == 0 &&
		    r[i].start <= r[to].end)
			r[to].end = MAX(r[to].end, r[i].end);
		else
			r[++to] = r[i];
	}
	s->borrowed.len = to + 1;
}

static void note_borrowed(struct sharing *s, const struct page_origin *o)
{
	uint64_t end = o->vaddr + o->npages * AMAP_PAGE;

	*vec_push(&s->borrowed) = (struct amap_shared_range){o->level, o->id, o->vaddr, end};
	add_use(s, o, o->vaddr, end);
}

static void note_lent(struct sharing *s, const struct page_origin *o)
{
	uint64_t end = o->vaddr + o->npages * AMAP_PAGE;
	const struct amap_shared_range *r = s->borrowed.data;

	for (size_t i = find_range(r, s->borrowed.len, o, o->vaddr);
	     i < s->borrowed.len && is_of_place(&r[i], o) && r[i].start < end; i++)
		add_use(s, o, MAX(r[i].start, o->vaddr), MIN(r[i].end, end));
}

static void note_origin(void *arg, const struct page_origin *o)
{
	struct sharing *s = arg;

	if ((o->id == s->pid) != s->own)
		return;
	if (s->own)
		note_lent(s, o);
	else
		note_borrowed(s, o);
}

/* What is broken shows when the pages are counted. */
static void look_at_all(struct sharing *s, bool own)
{
	s->own = own;
	vec_foreach (p, &s->am->processes) {
		struct err err = ERR_INIT;

		s->pid = p->pid;
		if (!p->zombie &&
		    page_store_origins(s->am->store, IMG_PAGEMAP, p->pid, note_origin, s, &err) < 0)
			p->broken_pages = true;
	}
}

static void sweep(struct sharing *s)
{
	const struct edge *last = NULL;
	int users = 0;

	if (s->edges.len)
		qsort(s->edges.data, s->edges.len, sizeof(*s->edges.data), by_edge);
	vec_foreach (e, &s->edges) {
		bool was_shared = users >= 2;

		users += e->change;
		if (!was_shared && users >= 2)
			last = e;
		else if (was_shared && users < 2)
			*vec_push(&s->am->shared) =
				(struct amap_shared_range){e->level, e->id, last->at, e->at};
	}
}

void amap_find_sharing(struct amap *am)
{
	struct sharing s = {.am = am};

	if (!am->store || am->processes.len < 2)
		return;
	look_at_all(&s, /* own= */ false);
	merge_borrowed(&s);
	if (s.borrowed.len)
		look_at_all(&s, /* own= */ true);
	sweep(&s);
	vec_done(&s.borrowed);
	vec_done(&s.edges);
}

bool amap_is_shared(const struct amap *am, const struct page_origin *o, uint64_t *ret_len)
{
	uint64_t end = o->vaddr + o->npages * AMAP_PAGE;
	const struct amap_shared_range *r = am->shared.data;
	size_t i = find_range(r, am->shared.len, o, o->vaddr);

	if (i == am->shared.len || !is_of_place(&r[i], o) || r[i].start >= end) {
		*ret_len = end - o->vaddr;
		return false;
	}
	if (r[i].start > o->vaddr) {
		*ret_len = r[i].start - o->vaddr;
		return false;
	}
	*ret_len = MIN(r[i].end, end) - o->vaddr;
	return true;
}

/* ---------------------------------------------------------------- families */

static int by_owner(const void *a, const void *b)
{
	const struct amap_mapping *x = *(struct amap_mapping *const *)a;
	const struct amap_mapping *y = *(struct amap_mapping *const *)b;
	int r = compare_places(0, x->cow_owner, 0, y->cow_owner);

	return r ? r : (x->start > y->start) - (x->start < y->start);
}

static bool is_of_family(const struct amap_family *f, const struct amap_mapping *m)
{
	return f->owner == m->cow_owner && m->start < f->end;
}

void amap_find_families(struct amap *am)
{
	VEC(struct amap_mapping *) all = {0};

	vec_foreach (p, &am->processes)
		vec_foreach (m, &p->mappings)
			if (m->cow_owner)
				*vec_push(&all) = m;
	if (all.len)
		qsort(all.data, all.len, sizeof(*all.data), by_owner);
	vec_foreach (at, &all) {
		struct amap_mapping *m = *at;
		size_t n = am->families.len;

		if (!n || !is_of_family(&am->families.data[n - 1], m)) {
			*vec_push(&am->families) = (struct amap_family){
				.owner = m->cow_owner,
				.start = m->start,
				.name = m->name,
			};
			n++;
		}
		am->families.data[n - 1].end = MAX(am->families.data[n - 1].end, m->end);
		m->family = n - 1;
	}
	vec_done(&all);
}
