/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/map_layout.h"

#include "base/auto.h"

#include <string.h>

enum {
	BLOCKS_ALL = 3000, /* of all panels together, about */
	BLOCKS_MIN = 40,   /* of each, whatever the others have */
	BLOCKS_MAX = 600,
	WIDTH_MAX = 420, /* of a block */
	PIXELS_PER_BIN = 2,
	GAP_MARK = 46,
	GAP_SMALL = 6,
	GAP_NONE = 3,
	LABEL_MIN = 64, /* that much room a group's label has, at least */
	LABEL_MAX = 112,
	LABEL_CHAR = 7,
	INDENT_STEPS_MAX = 12,
	TAGS_MAX = 14,
};

/* ------------------------------------------------------------------ widths */

int amap_width_of(uint64_t npages)
{
	/* 9 pixels times 2^(0/5) ... 2^(4/5), in hundredths */
	static const int steps[] = {900, 1034, 1188, 1364, 1567};
	unsigned int k = npages ? 63 - (unsigned int)__builtin_clzll(npages) : 0;
	double low = (double)(steps[k % 5] << k / 5) / 100;
	double high = (double)(steps[(k + 1) % 5] << (k + 1) / 5) / 100;
	double above = (double)npages / (double)(UINT64_C(1) << k) - 1;

	return (int)MIN(low + (high - low) * above, (double)WIDTH_MAX);
}

/* ----------------------------------------------------------------- folding */

struct ranked {
	size_t i;
	uint64_t score;
};

static int by_score(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->i > y->i) - (x->i < y->i);
}

/* Marks the `most` mappings that have most in them; size counts as well, but little. */
static void choose_mappings(const struct amap_process *p, size_t most, bool *chosen)
{
	auto_free struct ranked *all = xcalloc(p->mappings.len + 1, sizeof(*all));

	for (size_t i = 0; i < p->mappings.len; i++) {
		const struct amap_mapping *m = &p->mappings.data[i];

		all[i].i = i;
		all[i].score = amap_kept(&m->counts) + amap_mapping_pages(m) / 1024;
	}
	qsort(all, p->mappings.len, sizeof(*all), by_score);
	for (size_t i = 0; i < MIN(most, p->mappings.len); i++)
		chosen[all[i].i] = true;
}

/* One more mapping for the block that has the one before. */
static void add_to_block(struct amap_block *b, const struct amap_mapping *m)
{
	if (b->n) {
		b->kind = b->kind == m->kind ? b->kind : AMAP_FOLDED;
		b->object = b->object == m->object ? b->object : AMAP_NONE;
		b->family = b->family == m->family ? b->family : AMAP_NONE;
	}
	b->n++;
	b->end = m->end;
	b->npages += amap_mapping_pages(m);
	amap_counts_add(&b->counts, &m->counts);
}

static void make_blocks(struct amap_panel *panel, size_t most, struct arena *a)
{
	const struct amap_process *p = panel->p;
	auto_free bool *chosen = xcalloc(p->mappings.len + 1, sizeof(*chosen));

	choose_mappings(p, p->mappings.len > most ? most / 2 : most, chosen);
	for (size_t i = 0; i < p->mappings.len; i++) {
		const struct amap_mapping *m = &p->mappings.data[i];

		if (!i || chosen[i] || chosen[i - 1])
			*vec_push(&panel->blocks) = (struct amap_block){
				.first = i,
				.kind = m->kind,
				.start = m->start,
				.object = m->object,
				.family = m->family,
			};
		add_to_block(&panel->blocks.data[panel->blocks.len - 1], m);
	}
	vec_foreach (b, &panel->blocks) {
		b->w = amap_width_of(b->npages);
		amap_bins_init(&b->bins, a, b->npages, (size_t)b->w / PIXELS_PER_BIN);
	}
}

/* -------------------------------------------------------------------- bins */

struct filling {
	struct amap_panel *panel;
	size_t *block_of;   /* by mapping */
	uint64_t *first_of; /* the page of its block that a mapping begins at */
};

static void fill_part(void *arg, const struct amap_part *part)
{
	const struct filling *f = arg;

	amap_bins_add(&f->panel->blocks.data[f->block_of[part->mapping]].bins,
		      f->first_of[part->mapping] + part->first, part->n, part->layer, part->level);
}

/* What was read before can be read again; if not, that was noted then. */
static void fill_bins(struct amap *am, struct amap_panel *panel)
{
	size_t n = panel->p->mappings.len;
	auto_free size_t *block_of = xcalloc(n + 1, sizeof(*block_of));
	auto_free uint64_t *first_of = xcalloc(n + 1, sizeof(*first_of));
	struct filling f = {panel, block_of, first_of};
	struct err err = ERR_INIT;

	for (size_t b = 0; b < panel->blocks.len; b++) {
		const struct amap_block *block = &panel->blocks.data[b];
		uint64_t first = 0;

		for (size_t i = block->first; i < block->first + block->n; i++) {
			block_of[i] = b;
			first_of[i] = first;
			first += amap_mapping_pages(&panel->p->mappings.data[i]);
		}
	}
	if (amap_parts(am, panel->p, fill_part, &f, &err) < 0)
		amap_note_error(am, panel->p, &err);
}

/* ------------------------------------------------------------------ groups */

static const char *name_of(const struct amap_panel *panel, const struct amap_block *b)
{
	return b->n == 1 ? panel->p->mappings.data[b->first].name : "";
}

static bool is_plain(const struct amap_block *b)
{
	return b->kind == AMAP_ANON || b->kind == AMAP_RESERVED;
}

/* Segments of one file; what follows without a gap and has no name of its own: bss, guards. */
static bool belongs_to(const struct amap_panel *panel, const struct amap_block *last,
		       const struct amap_block *b)
{
	uint64_t gap = b->start - last->end;

	if (b->n > 1 || last->n > 1)
		return false;
	if (last->object != AMAP_NONE && b->object == last->object)
		return gap < AMAP_GAP_SHOWN;
	if (gap)
		return false;
	return is_plain(b) || (is_plain(last) && b->kind == AMAP_STACK) ||
	       (b->kind == AMAP_KERNEL && last->kind == AMAP_KERNEL) ||
	       (name_of(panel, b)[0] && strcmp(name_of(panel, b), name_of(panel, last)) == 0);
}

static int blocks_width(const struct amap_panel *panel, const struct amap_group *g)
{
	const struct amap_block *last = &panel->blocks.data[g->first + g->n - 1];

	return last->x + last->w;
}

static void make_groups(struct amap_panel *panel, int width)
{
	for (size_t i = 0; i < panel->blocks.len; i++) {
		struct amap_block *b = &panel->blocks.data[i];
		const struct amap_block *last = i ? b - 1 : NULL;
		struct amap_group *g = i ? &panel->groups.data[panel->groups.len - 1] : NULL;

		if (last && belongs_to(panel, last, b) &&
		    blocks_width(panel, g) + 1 + b->w < width) {
			b->x = last->x + last->w + (b->start > last->end ? GAP_NONE : 1);
			g->n++;
		} else {
			b->x = 0;
			*vec_push(&panel->groups) = (struct amap_group){
				.first = i, .n = 1, .gap = last ? b->start - last->end : 0};
		}
	}
}

static int label_width(const struct amap_panel *panel, const struct amap_group *g)
{
	size_t most = 0;

	for (size_t i = g->first; i < g->first + g->n; i++) {
		const char *name = name_of(panel, &panel->blocks.data[i]);
		const char *slash = strrchr(name, '/');

		most = MAX(most, MIN(strlen(slash ? slash + 1 : name), (size_t)LABEL_MAX));
	}
	return MIN(MAX((int)most * LABEL_CHAR + 8, LABEL_MIN), LABEL_MAX);
}

static void place_groups(struct amap_panel *panel, int width)
{
	int x = 0;
	unsigned int line = 0;

	vec_foreach (g, &panel->groups) {
		int gap = g->gap >= AMAP_GAP_SHOWN ? GAP_MARK : g->gap ? GAP_SMALL : GAP_NONE;

		if (g == panel->groups.data)
			gap = 0;
		g->w = MAX(blocks_width(panel, g), label_width(panel, g));
		if (x + gap + g->w > width && x) {
			line++;
			x = 0;
			gap = g->gap >= AMAP_GAP_SHOWN ? GAP_MARK : 0;
		}
		g->line = line;
		g->x = x + gap;
		x = g->x + g->w;
		for (size_t i = g->first; i < g->first + g->n; i++)
			panel->blocks.data[i].x += g->x;
	}
	panel->nlines = panel->groups.len ? line + 1 : 0;
}

/* ---------------------------------------------------------------- choosing */

static uint64_t interest_of(const struct amap_process *p, size_t i)
{
	if (p->error)
		return UINT64_MAX - 1;
	if (i == 0)
		return UINT64_MAX;
	return p->zombie ? 0 : 1 + amap_layer_sum(&p->counts, AMAP_OWN);
}

static void choose_interesting(const struct amap *am, size_t most, bool *chosen)
{
	auto_free struct ranked *all = xcalloc(am->processes.len + 1, sizeof(*all));

	for (size_t i = 0; i < am->processes.len; i++)
		all[i] = (struct ranked){i, interest_of(&am->processes.data[i], i)};
	qsort(all, am->processes.len, sizeof(*all), by_score);
	for (size_t i = 0; i < MIN(most, am->processes.len); i++)
		chosen[all[i].i] = true;
}

static void choose_pids(const struct amap *am, const uint32_t *pids, size_t npids, bool *chosen)
{
	for (size_t i = 0; i < am->processes.len; i++)
		for (size_t k = 0; k < npids; k++)
			chosen[i] |= am->processes.data[i].pid == pids[k];
}

static int by_comm(const void *a, const void *b)
{
	const struct amap_process *x = *(struct amap_process *const *)a;
	const struct amap_process *y = *(struct amap_process *const *)b;

	return strcmp(x->comm, y->comm);
}

static int by_pages(const void *a, const void *b)
{
	const struct amap_rest *x = a, *y = b;
	uint64_t p = amap_kept(&x->counts), q = amap_kept(&y->counts);

	return p != q ? (p > q ? -1 : 1) : strcmp(x->comm, y->comm);
}

static void add_to_rest(struct amap_layout *l, const struct amap_process *p)
{
	struct amap_rest *r = l->rest.len ? &l->rest.data[l->rest.len - 1] : NULL;

	if (!r || strcmp(r->comm, p->comm) != 0) {
		r = vec_push(&l->rest);
		*r = (struct amap_rest){.comm = p->comm};
	}
	r->n++;
	r->nzombies += p->zombie;
	r->npages += p->npages;
	amap_counts_add(&r->counts, &p->counts);
}

static void collect_rest(struct amap_layout *l, const bool *chosen)
{
	VEC(struct amap_process *) left = {0};

	for (size_t i = 0; i < l->am->processes.len; i++)
		if (!chosen[i])
			*vec_push(&left) = &l->am->processes.data[i];
	l->nrest = left.len;
	if (left.len)
		qsort(left.data, left.len, sizeof(*left.data), by_comm);
	vec_foreach (p, &left)
		add_to_rest(l, *p);
	if (l->rest.len)
		qsort(l->rest.data, l->rest.len, sizeof(*l->rest.data), by_pages);
	vec_done(&left);
}

static void make_panel(struct amap_layout *l, struct amap_process *p, size_t most)
{
	struct amap_panel *panel = vec_push(&l->panels);
	int width;

	*panel = (struct amap_panel){.p = p};
	panel->indent = (int)MIN(p->depth, (unsigned int)INDENT_STEPS_MAX) * AMAP_INDENT;
	width = AMAP_WIDTH - 2 * AMAP_MARGIN - panel->indent;
	make_blocks(panel, most, l->am->a);
	fill_bins(l->am, panel);
	make_groups(panel, width);
	place_groups(panel, width);
}

/* -------------------------------------------------------------------- tags */

struct candidate {
	unsigned int *tag;
	uint64_t npages;
	size_t order;
};

static int by_size(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->npages != y->npages)
		return x->npages > y->npages ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Numbers for the largest things that processes share; private mappings of files aren't shared. */
static void number_shared(struct amap *am)
{
	VEC(struct candidate) all = {0};

	vec_foreach (o, &am->objects)
		if (o->users.n > 1 && o->kind != AMAP_FILE_PRIVATE)
			*vec_push(&all) = (struct candidate){&o->tag, o->npages, all.len};
	vec_foreach (f, &am->families)
		if (f->users.n > 1)
			*vec_push(&all) = (struct candidate){&f->tag, f->npages, all.len};
	if (all.len)
		qsort(all.data, all.len, sizeof(*all.data), by_size);
	for (size_t i = 0; i < MIN(all.len, (size_t)TAGS_MAX); i++)
		*all.data[i].tag = (unsigned int)i + 1;
	vec_done(&all);
}

static bool has_tag(const struct amap *am, const struct amap_block *b)
{
	return (b->object != AMAP_NONE && am->objects.data[b->object].tag) ||
	       (b->family != AMAP_NONE && am->families.data[b->family].tag);
}

/* -------------------------------------------------------------------- all */

void amap_layout_make(struct amap *am, const uint32_t *pids, size_t npids, size_t max_panels,
		      struct amap_layout *ret)
{
	auto_free bool *chosen = xcalloc(am->processes.len + 1, sizeof(*chosen));
	size_t n = 0, most;

	*ret = (struct amap_layout){.am = am, .chosen = npids};
	if (npids)
		choose_pids(am, pids, npids, chosen);
	else
		choose_interesting(am, max_panels, chosen);
	for (size_t i = 0; i < am->processes.len; i++)
		n += chosen[i];
	most = MIN(MAX(BLOCKS_ALL / MAX(n, (size_t)1), (size_t)BLOCKS_MIN), (size_t)BLOCKS_MAX);
	for (size_t i = 0; i < am->processes.len; i++)
		if (chosen[i])
			make_panel(ret, &am->processes.data[i], most);
	collect_rest(ret, chosen);
	number_shared(am);
	vec_foreach (panel, &ret->panels)
		vec_foreach (b, &panel->blocks)
			panel->has_tags |= has_tag(am, b);
}

void amap_layout_done(struct amap_layout *l)
{
	vec_foreach (panel, &l->panels) {
		vec_done(&panel->blocks);
		vec_done(&panel->groups);
	}
	vec_done(&l->panels);
	vec_done(&l->rest);
}
