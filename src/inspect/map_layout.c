/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/map_layout.h"

#include "base/auto.h"
#include "base/parse.h"
#include "inspect/map_text.h"

#include <string.h>

enum {
	BLOCKS_MAX = 600,	  /* of a panel */
	GROUPS_ALL = 320,	  /* of all panels together, about ... */
	GROUPS_MIN = 15,	  /* ... but each may have that many */
	WIDTH_MAX = 640,	  /* of a block */
	WIDTH_MAX_RESERVED = 100, /* there is nothing to be seen in it */
	BINS_ALL = 12000,
	PIXELS_PER_BIN = 2,
	GAP_MARK = 46,
	GAP_SMALL = 6,
	GAP_NONE = 3,
	/* Room for a group's label: all of the size, and what fits of the name. */
	LABEL_MAX = 84,
	LABEL_CHAR = 7,
	SIZE_CHAR = 6,
	LABEL_PAD = 7,
	INDENT_STEPS_MAX = 12,
	TAGS_MAX = 10,
	TAGGED_MIN = 16, /* pages */
};

/* ------------------------------------------------------------------ widths */

int amap_width_of(uint64_t npages)
{
	/* 6 pixels times 2^(0/3), 2^(1/3), 2^(2/3), in hundredths */
	static const int steps[] = {600, 756, 952};
	unsigned int k = 63 - (unsigned int)__builtin_clzll(npages | 1);
	double low = (double)(steps[k % 3] << k / 3) / 100;
	double high = (double)(steps[(k + 1) % 3] << (k + 1) / 3) / 100;
	double above = (double)MAX(npages, UINT64_C(1)) / (double)(UINT64_C(1) << k) - 1;

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

/*
 * Marks the first `most` of them; but none, if more of them would have the same right to be there:
 * that the first 300 of 60,000 equal mappings are shown says nothing.
 */
static void choose_best(struct ranked *all, size_t n, size_t most, bool *chosen)
{
	size_t upto = MIN(most, n);

	qsort(all, n, sizeof(*all), by_score);
	while (upto && upto < n && all[upto - 1].score == all[MIN(most, n - 1)].score)
		upto--;
	for (size_t i = 0; i < upto; i++)
		chosen[all[i].i] = true;
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
	choose_best(all, p->mappings.len, most, chosen);
}

static struct amap_block block_of(const struct amap_process *p, size_t i)
{
	const struct amap_mapping *m = &p->mappings.data[i];

	return (struct amap_block){
		.first = i,
		.n = 1,
		.kind = m->kind,
		.start = m->start,
		.end = m->end,
		.npages = amap_mapping_pages(m),
		.object = m->object,
		.family = m->family,
		.counts = m->counts,
	};
}

/* `next` is the block that follows. */
static void merge_blocks(struct amap_block *b, const struct amap_block *next)
{
	b->kind = b->kind == next->kind ? b->kind : AMAP_FOLDED;
	b->object = b->object == next->object ? b->object : AMAP_NONE;
	b->family = b->family == next->family ? b->family : AMAP_NONE;
	b->n += next->n;
	b->end = next->end;
	b->npages += next->npages;
	amap_counts_add(&b->counts, &next->counts);
}

static void make_blocks(struct amap_panel *panel, size_t most)
{
	const struct amap_process *p = panel->p;
	auto_free bool *chosen = xcalloc(p->mappings.len + 1, sizeof(*chosen));

	choose_mappings(p, p->mappings.len > most ? most / 2 : most, chosen);
	for (size_t i = 0; i < p->mappings.len; i++) {
		struct amap_block b = block_of(p, i);

		if (!i || chosen[i] || chosen[i - 1])
			*vec_push(&panel->blocks) = b;
		else
			merge_blocks(&panel->blocks.data[panel->blocks.len - 1], &b);
	}
}

static void size_blocks(struct amap_panel *panel)
{
	vec_foreach (b, &panel->blocks) {
		b->w = amap_width_of(b->npages);
		if (b->kind == AMAP_RESERVED)
			b->w = MIN(b->w, (int)WIDTH_MAX_RESERVED);
	}
}

/* ------------------------------------------------------------------ groups */

static const char *name_of(const struct amap_panel *panel, const struct amap_block *b)
{
	return b->n == 1 ? panel->p->mappings.data[b->first].name : "";
}

/* A segment of the same file; its bss; the rest of a malloc arena; a stack above its guard. */
static bool belongs_to(const struct amap_panel *panel, const struct amap_group *g,
		       const struct amap_block *b)
{
	const struct amap_block *last = b - 1;
	uint64_t gap = b->start - last->end;

	if (b->n > 1 || last->n > 1)
		return false;
	if (last->object != AMAP_NONE && b->object == last->object)
		return gap < AMAP_GAP_SHOWN;
	if (gap)
		return false;
	if (b->kind == AMAP_ANON)
		return last->kind == AMAP_FILE_PRIVATE || last->kind == AMAP_ANON;
	if (b->kind == AMAP_RESERVED)
		return last->kind == AMAP_ANON;
	if (b->kind == AMAP_STACK && last->kind == AMAP_RESERVED)
		return g->n == 1;
	return name_of(panel, b)[0] && strcmp(name_of(panel, b), name_of(panel, last)) == 0;
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

		if (last && belongs_to(panel, g, b) && blocks_width(panel, g) + 1 + b->w < width) {
			b->x = last->x + last->w + (b->start > last->end ? GAP_NONE : 1);
			g->n++;
		} else {
			b->x = 0;
			*vec_push(&panel->groups) = (struct amap_group){
				.first = i, .n = 1, .gap = last ? b->start - last->end : 0};
		}
	}
}

/* Marks the `most` groups that have most in them. */
static void choose_groups(const struct amap_panel *panel, size_t most, bool *chosen)
{
	auto_free struct ranked *all = xcalloc(panel->groups.len + 1, sizeof(*all));

	for (size_t i = 0; i < panel->groups.len; i++) {
		const struct amap_group *g = &panel->groups.data[i];

		all[i].i = i;
		for (size_t k = g->first; k < g->first + g->n; k++) {
			const struct amap_block *b = &panel->blocks.data[k];

			all[i].score += amap_kept(&b->counts) + b->npages / 1024;
		}
	}
	choose_best(all, panel->groups.len, most, chosen);
}

/* Too many to look at: what lies between the chosen ones becomes one block. */
static void fold_groups(struct amap_panel *panel, size_t most)
{
	auto_free bool *chosen = xcalloc(panel->groups.len + 1, sizeof(*chosen));
	size_t to = 0;

	choose_groups(panel, most, chosen);
	for (size_t i = 0; i < panel->groups.len; i++) {
		const struct amap_group *g = &panel->groups.data[i];
		bool more = i && !chosen[i] && !chosen[i - 1];

		for (size_t k = g->first; k < g->first + g->n; k++) {
			const struct amap_block b = panel->blocks.data[k];

			if (more)
				merge_blocks(&panel->blocks.data[to - 1], &b);
			else
				panel->blocks.data[to++] = b;
			more = !chosen[i];
		}
	}
	panel->blocks.len = to;
	vec_done(&panel->groups);
}

/* Without a name it is said what it is. */
static const char *group_name(const struct amap_panel *panel, const struct amap_group *g)
{
	const struct amap_block *b = &panel->blocks.data[g->first];

	for (size_t i = g->first; i < g->first + g->n; i++) {
		const char *name = name_of(panel, &panel->blocks.data[i]);

		if (name[0])
			return amap_base_name(name);
	}
	return b->kind == AMAP_RESERVED ? "reserved" : b->kind == AMAP_RANGE ? "pages" : "anon";
}

struct amap_label amap_group_label(const struct amap_panel *panel, const struct amap_group *g)
{
	struct amap_label label;
	uint64_t kept = 0, npages = 0;

	for (size_t i = g->first; i < g->first + g->n; i++) {
		kept += amap_kept(&panel->blocks.data[i].counts);
		npages += panel->blocks.data[i].npages;
	}
	if (panel->blocks.data[g->first].n > 1)
		snprintf(label.name, sizeof(label.name), "%zu folded",
			 panel->blocks.data[g->first].n);
	else
		str_copy(label.name, sizeof(label.name), group_name(panel, g));
	if (kept)
		snprintf(label.size, sizeof(label.size), "%s of %s", amap_pages(kept).s,
			 amap_pages(npages).s);
	else
		snprintf(label.size, sizeof(label.size), "%s", amap_pages(npages).s);
	return label;
}

static int label_width(const struct amap_panel *panel, const struct amap_group *g)
{
	struct amap_label label = amap_group_label(panel, g);

	return MAX(MIN((int)strlen(label.name) * LABEL_CHAR + LABEL_PAD, (int)LABEL_MAX),
		   (int)strlen(label.size) * SIZE_CHAR + LABEL_PAD);
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
static void fill_bins(struct amap *am, struct amap_panel *panel, size_t pixels)
{
	size_t n = panel->p->mappings.len;
	auto_free size_t *block_of = xcalloc(n + 1, sizeof(*block_of));
	auto_free uint64_t *first_of = xcalloc(n + 1, sizeof(*first_of));
	struct filling f = {panel, block_of, first_of};
	struct err err = ERR_INIT;

	for (size_t b = 0; b < panel->blocks.len; b++) {
		struct amap_block *block = &panel->blocks.data[b];
		uint64_t first = 0;

		amap_bins_init(&block->bins, am->a, block->npages, (size_t)block->w / pixels);
		for (size_t i = block->first; i < block->first + block->n; i++) {
			block_of[i] = b;
			first_of[i] = first;
			first += amap_mapping_pages(&panel->p->mappings.data[i]);
		}
	}
	if (amap_parts(am, panel->p, fill_part, &f, &err) < 0)
		amap_note_error(am, panel->p, &err);
}

/* As fine as the screen, unless there is so much that the file would be too large. */
static size_t pixels_per_bin(const struct amap_layout *l)
{
	size_t pixels = 0;

	vec_foreach (panel, &l->panels)
		vec_foreach (b, &panel->blocks)
			pixels += (size_t)b->w;
	return MAX((pixels + BINS_ALL - 1) / BINS_ALL, (size_t)PIXELS_PER_BIN);
}

/* ---------------------------------------------------------------- choosing */

/* The largest first of each name. */
static int by_comm(const void *a, const void *b)
{
	const struct amap_process *x = *(struct amap_process *const *)a;
	const struct amap_process *y = *(struct amap_process *const *)b;
	uint64_t p = amap_layer_sum(&x->counts, AMAP_OWN);
	uint64_t q = amap_layer_sum(&y->counts, AMAP_OWN);
	int r = strcmp(x->comm, y->comm);

	if (r)
		return r;
	return p != q ? (p > q ? -1 : 1) : (x > y) - (x < y);
}

/*
 * The root, what is broken, then one of each name, then those with most pages of their own: many
 * that are alike don't take the room of the few others.
 */
static void rank_processes(const struct amap *am, struct ranked *all)
{
	size_t n = am->processes.len;
	auto_free struct amap_process **sorted = xcalloc(n + 1, sizeof(*sorted));

	for (size_t i = 0; i < n; i++)
		sorted[i] = &am->processes.data[i];
	qsort(sorted, n, sizeof(*sorted), by_comm);
	for (size_t k = 0; k < n; k++) {
		const struct amap_process *p = sorted[k];
		size_t i = (size_t)(p - am->processes.data);
		uint64_t rank = k == 0 || strcmp(sorted[k - 1]->comm, p->comm) != 0;

		rank = i == 0 ? 3 : p->error ? 2 : p->zombie ? 0 : rank;
		all[i] = (struct ranked){i, (rank << 60) + MIN(amap_layer_sum(&p->counts, AMAP_OWN),
							       UINT64_MAX >> 5)};
	}
}

static void choose_interesting(const struct amap *am, size_t most, bool *chosen)
{
	auto_free struct ranked *all = xcalloc(am->processes.len + 1, sizeof(*all));

	rank_processes(am, all);
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
	make_blocks(panel, BLOCKS_MAX);
	size_blocks(panel);
	make_groups(panel, width);
	if (panel->groups.len > most) {
		fold_groups(panel, most);
		size_blocks(panel);
		make_groups(panel, width);
	}
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
		if (o->users.n > 1 && o->kind != AMAP_FILE_PRIVATE && o->npages >= TAGGED_MIN)
			*vec_push(&all) = (struct candidate){&o->tag, o->npages, all.len};
	vec_foreach (f, &am->families)
		if (f->users.n > 1 && f->npages >= TAGGED_MIN)
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
	most = MAX(GROUPS_ALL / MAX(n, (size_t)1), (size_t)GROUPS_MIN);
	for (size_t i = 0; i < am->processes.len; i++)
		if (chosen[i])
			make_panel(ret, &am->processes.data[i], most);
	most = pixels_per_bin(ret);
	vec_foreach (panel, &ret->panels)
		fill_bins(am, panel, most);
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
