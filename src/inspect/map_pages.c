/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages, counted by class: of mappings, processes and everything, and in bins, which are what a
 * picture shows of them. An image's runs are cut at the borders of mappings and of what is shared;
 * nothing here costs more for a large run than for a small one.
 */
#include "base/auto.h"
#include "inspect/map_model.h"

#include <sys/mman.h>

/* ------------------------------------------------------------------ counts */

uint64_t amap_layer_sum(const struct amap_counts *c, enum amap_layer layer)
{
	uint64_t sum = 0;

	for (int i = 0; i < AMAP_LEVELS; i++)
		sum += c->n[layer][i];
	return sum;
}

uint64_t amap_kept(const struct amap_counts *c)
{
	return amap_layer_sum(c, AMAP_OWN) + amap_layer_sum(c, AMAP_COW);
}

void amap_counts_add(struct amap_counts *to, const struct amap_counts *c)
{
	for (int layer = 0; layer < AMAP_LAYERS; layer++)
		for (int i = 0; i < AMAP_LEVELS; i++)
			to->n[layer][i] += c->n[layer][i];
}

uint64_t amap_mapping_pages(const struct amap_mapping *m)
{
	return (m->end - m->start) / AMAP_PAGE;
}

/* -------------------------------------------------------------------- bins */

void amap_bins_init(struct amap_bins *b, struct arena *a, uint64_t npages, size_t n)
{
	b->npages = npages;
	b->n = (size_t)MIN(npages, (uint64_t)MIN(MAX(n, (size_t)1), (size_t)AMAP_BINS_MAX));
	b->bins = arena_array_of(a, struct amap_counts, b->n);
}

/* npages has at most 52 bits and n 8: no overflow. */
uint64_t amap_bins_edge(const struct amap_bins *b, size_t i)
{
	return b->npages * i / b->n;
}

/* The bin that has this page: the last one that doesn't begin behind it. */
static size_t find_bin(const struct amap_bins *b, uint64_t page)
{
	size_t i = (size_t)(page * b->n / b->npages);

	while (i + 1 < b->n && amap_bins_edge(b, i + 1) <= page)
		i++;
	return i;
}

void amap_bins_add(struct amap_bins *b, uint64_t first, uint64_t n, enum amap_layer layer,
		   unsigned int level)
{
	uint64_t end;

	if (first >= b->npages || !n)
		return;
	end = first + MIN(n, b->npages - first);
	for (size_t i = find_bin(b, first); first < end; i++) {
		uint64_t upto = MIN(end, amap_bins_edge(b, i + 1));

		b->bins[i].n[layer][level] += upto - first;
		first = upto;
	}
}

/* ------------------------------------------------------------------- parts */

/* Runs of pages ascend, and so do mappings: each run begins to look where the last one was. */
struct cutter {
	struct amap *am;
	const struct amap_process *p;
	size_t next;			   /* mapping */
	const struct amap_mapping *object; /* if pages are at offsets of its object */
	bool written;
	amap_part_fn *fn;
	void *arg;
};

static unsigned int class_of(size_t level)
{
	return (unsigned int)MIN(level, (size_t)AMAP_LEVELS - 1);
}

/* [start, end) of mapping i has this origin: told in parts that are shared or not. */
static void tell(struct cutter *c, size_t i, uint64_t start, uint64_t end, uint64_t mapping_start,
		 const struct page_origin *o)
{
	struct amap_part part = {.mapping = i, .level = class_of(o->level), .owner = o->id};

	while (start < end) {
		struct page_origin rest = *o;
		uint64_t len = end - start;

		rest.vaddr = start;
		rest.npages = len / AMAP_PAGE;
		if (c->written)
			part.layer = AMAP_WRITTEN;
		else
			part.layer = !c->object && amap_is_shared(c->am, &rest, &len) ? AMAP_COW
										      : AMAP_OWN;
		part.first = (start - mapping_start) / AMAP_PAGE;
		part.n = len / AMAP_PAGE;
		c->fn(c->arg, &part);
		start += len;
	}
}

static void cut_at_mappings(void *arg, const struct page_origin *o)
{
	struct cutter *c = arg;
	uint64_t end = o->vaddr + o->npages * AMAP_PAGE;

	for (; c->next < c->p->mappings.len; c->next++) {
		const struct amap_mapping *m = &c->p->mappings.data[c->next];
		uint64_t from = MAX(m->start, o->vaddr), upto = MIN(m->end, end);

		if (m->start >= end)
			return;
		/* A shared mapping has no pages of its own, whatever the image says. */
		if (from < upto && !m->in_object)
			tell(c, c->next, from, upto, m->start, o);
		if (m->end > end)
			return;
	}
}

static void cut_at_object(void *arg, const struct page_origin *o)
{
	struct cutter *c = arg;
	const struct amap_mapping *m = c->object;
	uint64_t from = MAX(m->pgoff, o->vaddr);
	uint64_t upto = MIN(m->pgoff + (m->end - m->start), o->vaddr + o->npages * AMAP_PAGE);

	if (from < upto)
		tell(c, c->next, from, upto, m->pgoff, o);
}

/* One layer of one image: where the pages are now, or what a round has written. */
static int cut_image(struct cutter *c, enum img_kind kind, uint64_t id, page_origin_fn *cut,
		     struct err *err)
{
	size_t first = c->next;

	c->written = false;
	TRY(page_store_origins(c->am->store, kind, id, cut, c, err));
	c->written = true;
	for (size_t level = 0; level < c->am->depth; level++) {
		c->next = first;
		TRY(page_store_written(c->am->store, level, kind, id, cut, c, err));
	}
	return 0;
}

int amap_parts(struct amap *am, const struct amap_process *p, amap_part_fn *fn, void *arg,
	       struct err *err)
{
	struct cutter c = {.am = am, .p = p, .fn = fn, .arg = arg};

	if (!am->store || p->zombie)
		return 0;
	TRY(cut_image(&c, IMG_PAGEMAP, p->pid, cut_at_mappings, err));
	for (size_t i = 0; i < p->mappings.len; i++) {
		if (!p->mappings.data[i].in_object)
			continue;
		c.object = &p->mappings.data[i];
		c.next = i;
		TRY(cut_image(&c, IMG_PAGEMAP_SHMEM, c.object->shmid, cut_at_object, err));
	}
	return 0;
}

/* ---------------------------------------------------------------- counting */

static void count_part(void *arg, const struct amap_part *part)
{
	struct amap_process *p = arg;
	struct amap_mapping *m = &p->mappings.data[part->mapping];

	m->counts.n[part->layer][part->level] += part->n;
	if (part->layer == AMAP_COW && !m->cow_owner)
		m->cow_owner = part->owner;
}

static void count_written(void *arg, const struct page_origin *o)
{
	struct amap_counts *c = arg;

	c->n[AMAP_WRITTEN][class_of(o->level)] += o->npages;
}

static void count_kept(void *arg, const struct page_origin *o)
{
	struct amap_counts *c = arg;

	c->n[AMAP_OWN][class_of(o->level)] += o->npages;
}

static int count_rounds(struct amap *am, enum img_kind kind, uint64_t id, struct amap_counts *c,
			struct err *err)
{
	for (size_t level = 0; level < am->depth; level++)
		TRY(page_store_written(am->store, level, kind, id, count_written, c, err));
	return 0;
}

/* Reserved is what nothing can be in: no access, no page. */
static void sum_process(struct amap_process *p)
{
	vec_foreach (m, &p->mappings) {
		uint64_t n = amap_mapping_pages(m), kept = amap_kept(&m->counts);

		if (m->kind == AMAP_ANON && !(m->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) &&
		    !kept)
			m->kind = AMAP_RESERVED;
		*(m->kind == AMAP_RESERVED ? &p->nreserved : &p->npages) += n;
		if (m->in_object) {
			p->in_objects += kept;
			continue;
		}
		for (int i = 0; i < AMAP_LEVELS; i++) {
			p->counts.n[AMAP_OWN][i] += m->counts.n[AMAP_OWN][i];
			p->counts.n[AMAP_COW][i] += m->counts.n[AMAP_COW][i];
		}
	}
}

static void count_process(struct amap *am, struct amap_process *p)
{
	struct err err = ERR_INIT;
	int r = amap_parts(am, p, count_part, p, &err);

	if (r == 0 && am->store && !p->zombie)
		r = count_rounds(am, IMG_PAGEMAP, p->pid, &p->counts, &err);
	if (r < 0)
		amap_note_error(am, p, &err);
	p->broken_pages |= r < 0 || !am->store;
	sum_process(p);
}

/* What can't be read is an error of the processes that map it. */
static void count_object(struct amap *am, struct amap_object *o)
{
	struct err err = ERR_INIT;
	int r;

	if (!am->store || !o->in_object)
		return;
	r = page_store_origins(am->store, IMG_PAGEMAP_SHMEM, o->shmid, count_kept, &o->counts,
			       &err);
	if (r == 0)
		r = count_rounds(am, IMG_PAGEMAP_SHMEM, o->shmid, &o->counts, &err);
	if (r == 0)
		amap_counts_add(&am->counts, &o->counts);
}

static void add_user(struct amap_users *u, uint32_t pid)
{
	/* One process after the other. */
	if (u->n && u->last == pid)
		return;
	if (u->n < AMAP_NAMED_PIDS)
		u->pids[u->n] = pid;
	u->last = pid;
	u->n++;
}

static void count_users(struct amap *am, const struct amap_process *p)
{
	vec_foreach (m, &p->mappings) {
		if (m->object != AMAP_NONE) {
			struct amap_object *o = &am->objects.data[m->object];

			add_user(&o->users, p->pid);
			o->npages = MAX(o->npages, amap_mapping_pages(m));
		}
		if (m->family != AMAP_NONE) {
			struct amap_family *f = &am->families.data[m->family];

			add_user(&f->users, p->pid);
			f->npages = MAX(f->npages, amap_layer_sum(&m->counts, AMAP_COW));
		}
	}
}

/* A page that several processes share is one page of the checkpoint. */
static void sum_up(struct amap *am)
{
	vec_foreach (p, &am->processes) {
		am->npages += p->npages;
		am->nreserved += p->nreserved;
		for (int i = 0; i < AMAP_LEVELS; i++) {
			am->counts.n[AMAP_OWN][i] += p->counts.n[AMAP_OWN][i];
			am->counts.n[AMAP_WRITTEN][i] += p->counts.n[AMAP_WRITTEN][i];
		}
	}
	vec_foreach (r, &am->shared)
		am->counts.n[AMAP_COW][class_of(r->level)] += (r->end - r->start) / AMAP_PAGE;
}

void amap_count(struct amap *am)
{
	vec_foreach (p, &am->processes)
		count_process(am, p);
	amap_find_families(am);
	vec_foreach (p, &am->processes)
		count_users(am, p);
	vec_foreach (o, &am->objects)
		count_object(am, o);
	sum_up(am);
}
