/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process: a head, and lines of blocks. A block, from its top:
 *
 *	55d0c1a2e000            address, where a line or a stretch of memory begins
 *	[heap]                  band in the colour of its kind; name, pages in the checkpoint of all
 *	1.2M of 4.0M
 *	||..|||||...||          columns of pages by class, high as they are dense
 *	-- ---  ----            of a chain: a lane for each round, what it has written
 *	#3                      numbers of what is shared
 */
#include "inspect/map_draw.h"

#include "base/auto.h"
#include "inspect/map_text.h"

#include <inttypes.h>

enum {
	ROW_ADDRESS = 11,
	ROW_BAND = 27,
	ROW_CELLS = 26,
	ROW_LANE = 4,
	ROW_TAGS = 13,
	ROW_GAP = 7,
	HEAD = 40,
	ROUND_W = 38, /* of one bar with its number */
	STEPS = 3,
};

/* ------------------------------------------------------------------ columns */

/* How many of h pixels so many pages get: something if there is one. */
static int share_of(uint64_t n, uint64_t full, int h)
{
	double share = (double)n / (double)MAX(full, UINT64_C(1));
	int px = (int)(MIN(share, 1.0) * h + 0.5);

	return n ? MAX(px, 2) : 0;
}

/* Heights of the classes of a column, from the bottom up: shared ones first, older ones first. */
struct heights {
	int px[AMAP_COW + 1][AMAP_LEVELS];
};

/* Few pages beside many have to be seen: the many give way. */
static struct heights heights_of(const struct amap *am, const struct amap_counts *c, uint64_t full,
				 int h)
{
	struct heights all = {0};
	int *px = all.px[0], sum = 0;

	for (int layer = AMAP_OWN; layer <= AMAP_COW; layer++)
		for (unsigned int level = 0; level < am->nlevels; level++) {
			all.px[layer][level] = share_of(c->n[layer][level], full, h);
			sum += all.px[layer][level];
		}
	for (; sum > h; sum--) {
		size_t most = 0;

		for (size_t i = 1; i < (AMAP_COW + 1) * AMAP_LEVELS; i++)
			most = px[i] > px[most] ? i : most;
		px[most]--;
	}
	return all;
}

/* How far the top of a class is from that of its column. */
static int top_of(const struct amap *am, const struct heights *all, int h, enum amap_layer layer,
		  unsigned int level)
{
	for (unsigned int i = level; i < am->nlevels; i++)
		h -= all->px[layer][i];
	for (unsigned int i = 0; layer == AMAP_OWN && i < am->nlevels; i++)
		h -= all->px[AMAP_COW][i];
	return h;
}

void amap_put_rect(FILE *out, const char *class, int x, int y, int w, int h)
{
	fprintf(out, "<path class=\"%s\" d=\"M%d %dh%dv%dh-%dz\"/>", class, x, y, w, h, w);
}

void amap_draw_column(FILE *out, const struct amap *am, const struct amap_counts *c, uint64_t full,
		      int x, int y, int w, int h)
{
	struct heights all = heights_of(am, c, full, h);

	for (int layer = AMAP_OWN; layer <= AMAP_COW; layer++)
		for (unsigned int level = 0; level < am->nlevels; level++) {
			int top = top_of(am, &all, h, (enum amap_layer)layer, level);
			int px = all.px[layer][level];

			if (!px)
				continue;
			amap_put_rect(out, amap_level_class(level).s, x, y + top, w, px);
			if (layer == AMAP_COW)
				amap_put_rect(out, "hatch", x, y + top, w, px);
		}
}

/* ------------------------------------------------------------------- cells */

/* One path for all columns of one class; neighbours that are alike become one rectangle. */
struct cells {
	FILE *out;
	const char *class;
	int from, upto, y, h; /* a rectangle that may go on; h 0: none */
	bool any;
};

static void flush_cells(struct cells *c)
{
	if (!c->h)
		return;
	if (!c->any)
		fprintf(c->out, "<path class=\"%s\" d=\"", c->class);
	c->any = true;
	fprintf(c->out, "M%d %dh%dv%dh-%dz", c->from, c->y, c->upto - c->from, c->h,
		c->upto - c->from);
	c->h = 0;
}

static void end_cells(struct cells *c)
{
	flush_cells(c);
	if (c->any)
		fputs("\"/>", c->out);
}

static uint64_t pages_of_bin(const struct amap_block *b, size_t i)
{
	return amap_bins_edge(&b->bins, i + 1) - amap_bins_edge(&b->bins, i);
}

static int bin_x(const struct amap_block *b, size_t i)
{
	return b->x + (int)((double)b->w * (double)i / (double)b->bins.n + 0.5);
}

static void add_cell(struct cells *c, const struct amap_block *b, size_t bin, int y, int h)
{
	int x = bin_x(b, bin);

	if (c->h && (c->y != y || c->h != h || c->upto != x))
		flush_cells(c);
	if (!c->h) {
		c->from = x;
		c->y = y;
	}
	c->h = h;
	c->upto = bin_x(b, bin + 1);
}

static void draw_class(FILE *out, const struct amap *am, const struct amap_block *b, int y,
		       enum amap_layer layer, unsigned int level, const char *class)
{
	struct cells cells = {.out = out, .class = class};

	for (size_t i = 0; i < b->bins.n; i++) {
		struct heights all =
			heights_of(am, &b->bins.bins[i], pages_of_bin(b, i), ROW_CELLS);

		if (all.px[layer][level])
			add_cell(&cells, b, i, y + top_of(am, &all, ROW_CELLS, layer, level),
				 all.px[layer][level]);
	}
	end_cells(&cells);
}

static void draw_cells(FILE *out, const struct amap *am, const struct amap_block *b, int y)
{
	for (unsigned int level = 0; level < am->nlevels; level++) {
		struct amap_class class = amap_level_class(level);

		if (b->counts.n[AMAP_OWN][level])
			draw_class(out, am, b, y, AMAP_OWN, level, class.s);
		if (!b->counts.n[AMAP_COW][level])
			continue;
		draw_class(out, am, b, y, AMAP_COW, level, class.s);
		draw_class(out, am, b, y, AMAP_COW, level, "hatch");
	}
}

/* ------------------------------------------------------------------- lanes */

/* How much of a bin a round has written, in steps that can be told apart; 0: nothing. */
static int step_of(uint64_t n, uint64_t full)
{
	double share = (double)n / (double)full;

	return !n ? 0 : share <= 0.1 ? 1 : share <= 0.5 ? 2 : STEPS;
}

static void draw_step(FILE *out, const struct amap_block *b, unsigned int level, int step, int y)
{
	struct cells cells = {.out = out};
	char class[32];

	snprintf(class, sizeof(class), "%s s%d", amap_level_class(level).s, step);
	cells.class = class;
	for (size_t i = 0; i < b->bins.n; i++)
		if (step_of(b->bins.bins[i].n[AMAP_WRITTEN][level], pages_of_bin(b, i)) == step)
			add_cell(&cells, b, i, y, ROW_LANE - 1);
	end_cells(&cells);
}

static void draw_lane(FILE *out, const struct amap_block *b, unsigned int level, int y)
{
	for (int step = 1; step <= STEPS; step++)
		draw_step(out, b, level, step, y);
}

static void draw_lanes(FILE *out, const struct amap *am, const struct amap_block *b, int y)
{
	for (unsigned int level = am->nlevels; level-- > 0; y += ROW_LANE) {
		amap_put_rect(out, "cell", b->x, y, b->w, ROW_LANE - 1);
		if (b->counts.n[AMAP_WRITTEN][level])
			draw_lane(out, b, level, y);
	}
}

static int lanes_height(const struct amap *am)
{
	return am->nlevels > 1 ? (int)am->nlevels * ROW_LANE + 3 : 0;
}

/* ------------------------------------------------------------------ blocks */

static void put_number(FILE *out, const char *name, size_t i)
{
	if (i != AMAP_NONE)
		fprintf(out, " data-%s=\"%zu\"", name, i);
}

static void draw_block(FILE *out, const struct amap_layout *l, const struct amap_panel *panel,
		       const struct amap_block *b, int y)
{
	fputs("<g class=\"b\"", out);
	put_number(out, "o", b->object);
	put_number(out, "f", b->family);
	fputs("><title>", out);
	amap_put_block_tip(out, l, panel, b);
	fputs("</title>", out);
	amap_put_rect(out, amap_kind_class(b->kind), b->x, y, b->w, ROW_BAND);
	y += ROW_BAND;
	amap_put_rect(out, "cell", b->x, y, b->w, ROW_CELLS);
	draw_cells(out, l->am, b, y);
	if (l->am->nlevels > 1)
		draw_lanes(out, l->am, b, y + ROW_CELLS + 3);
	fputs("</g>\n", out);
}

/* Of the shared memory that it is, else of the pages that it shares; 0: no number. */
static unsigned int tag_of(const struct amap *am, const struct amap_block *b)
{
	if (b->object != AMAP_NONE && am->objects.data[b->object].tag)
		return am->objects.data[b->object].tag;
	return b->family != AMAP_NONE ? am->families.data[b->family].tag : 0;
}

static void draw_tags(FILE *out, const struct amap *am, const struct amap_panel *panel,
		      const struct amap_group *g, int y)
{
	unsigned int last = 0;
	int free_from = 0;

	for (size_t i = g->first; i < g->first + g->n; i++) {
		const struct amap_block *b = &panel->blocks.data[i];
		unsigned int tag = tag_of(am, b);

		if (tag && tag != last && b->x >= free_from) {
			fprintf(out, "<text class=\"sm\" x=\"%d\" y=\"%d\">#%u</text>", b->x,
				y + ROW_TAGS - 3, tag);
			free_from = b->x + 20;
		}
		last = tag;
	}
}

/* ------------------------------------------------------------------ groups */

/* A nested svg cuts off what is too long for it. */
static void begin_label(FILE *out, int x, int y, int w, int h)
{
	fprintf(out, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"lb\">", x, y,
		MAX(w, 1), h);
}

static void draw_label(FILE *out, const struct amap_panel *panel, const struct amap_group *g, int y)
{
	struct amap_label label = amap_group_label(panel, g);

	begin_label(out, g->x, y, g->w, ROW_BAND);
	fputs("<text x=\"3\" y=\"11\">", out);
	amap_put_text(out, label.name, sizeof(label.name));
	fprintf(out, "</text><text class=\"sm mu\" x=\"3\" y=\"23\">%s</text></svg>\n", label.size);
}

/* A break: nothing is mapped in between. */
static void draw_gap(FILE *out, const struct amap_group *g, int y)
{
	int x = g->x - 24;

	fprintf(out,
		"<path class=\"ln\" d=\"M%d %dl4 -12M%d %dl4 -12\"/>"
		"<text class=\"sm mu mid\" x=\"%d\" y=\"%d\">%s</text>\n",
		x - 4, y + ROW_BAND + 16, x, y + ROW_BAND + 16, x, y + ROW_BAND - 1,
		amap_bytes(g->gap).s);
}

/* Room for a label that is longer than its blocks are wide. */
static void draw_plate(FILE *out, const struct amap_panel *panel, const struct amap_group *g, int y)
{
	const struct amap_block *last = &panel->blocks.data[g->first + g->n - 1];
	int x = last->x + last->w;
	char class[32];

	snprintf(class, sizeof(class), "%s pale", amap_kind_class(last->kind));
	if (x < g->x + g->w)
		amap_put_rect(out, class, x, y, g->x + g->w - x, ROW_BAND);
}

static void draw_group(FILE *out, const struct amap_layout *l, const struct amap_panel *panel,
		       const struct amap_group *g, int y)
{
	bool at_start = g == panel->groups.data || g[-1].line != g->line;

	if (g->gap >= AMAP_GAP_SHOWN)
		draw_gap(out, g, y + ROW_ADDRESS);
	if (at_start || g->gap >= AMAP_GAP_SHOWN)
		fprintf(out, "<text class=\"mono mu\" x=\"%d\" y=\"%d\">%" PRIx64 "</text>", g->x,
			y + ROW_ADDRESS - 2, panel->blocks.data[g->first].start);
	y += ROW_ADDRESS;
	draw_plate(out, panel, g, y);
	for (size_t i = g->first; i < g->first + g->n; i++)
		draw_block(out, l, panel, &panel->blocks.data[i], y);
	draw_label(out, panel, g, y);
	if (panel->has_tags)
		draw_tags(out, l->am, panel, g, y + ROW_BAND + ROW_CELLS + lanes_height(l->am));
}

/* ------------------------------------------------------------------ rounds */

int amap_rounds_width(const struct amap *am)
{
	return am->nlevels > 1 ? (int)am->nlevels * ROUND_W : 0;
}

void amap_draw_rounds(FILE *out, const struct amap *am, const struct amap_counts *c, int x, int y,
		      int h)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < am->nlevels; i++)
		most = MAX(most, c->n[AMAP_WRITTEN][i]);
	for (unsigned int i = am->nlevels; i-- > 0; x += ROUND_W) {
		uint64_t n = c->n[AMAP_WRITTEN][i];
		int px = share_of(n, most, h);

		fprintf(out, "<g class=\"r\"><title>%s: %" PRIu64 " pages written (%s)</title>",
			amap_round_name(am, i).s, n, amap_pages(n).s);
		amap_put_rect(out, "bar", x, y + h, ROUND_W - 6, 1);
		if (px)
			amap_put_rect(out, amap_level_class(i).s, x, y + h - px, ROUND_W - 6, px);
		fprintf(out, "<text class=\"sm mid\" x=\"%d\" y=\"%d\">%s</text></g>",
			x + (ROUND_W - 6) / 2, y + h - px - 2, amap_pages(n).s);
	}
}

/* -------------------------------------------------------------------- head */

static void put_sum(FILE *out, const struct amap *am, const struct amap_process *p)
{
	uint64_t own = amap_layer_sum(&p->counts, AMAP_OWN);
	uint64_t cow = amap_layer_sum(&p->counts, AMAP_COW);

	if (p->zombie) {
		fputs("dead, not waited for yet (a zombie): no memory", out);
		return;
	}
	if (p->parent != SIZE_MAX)
		fprintf(out, "child of %u \u00b7 ", p->ppid);
	if (p->error && !p->mappings.len)
		return;
	if (p->nthreads > 1)
		fprintf(out, "%zu threads \u00b7 ", p->nthreads);
	fprintf(out, "%zu %s \u00b7 %s", p->mappings.len, am->cp->pre_dump ? "ranges" : "mappings",
		amap_pages(p->npages).s);
	if (p->nreserved)
		fprintf(out, " + %s reserved", amap_pages(p->nreserved).s);
	if (p->broken_pages)
		return;
	fprintf(out, " \u00b7 in the checkpoint: %s private", amap_pages(own).s);
	if (cow)
		fprintf(out, ", %s shared by copy-on-write", amap_pages(cow).s);
	if (p->in_objects)
		fprintf(out, ", %s in shared memory", amap_pages(p->in_objects).s);
}

static void draw_panel_head(FILE *out, const struct amap_layout *l, const struct amap_panel *panel,
			    int x, int y)
{
	const struct amap_process *p = panel->p;
	int w = AMAP_WIDTH - AMAP_MARGIN - x, rounds = amap_rounds_width(l->am);

	if (p->depth)
		fprintf(out, "<path class=\"ln\" d=\"M%d %dv%dh%d\"/>", x - AMAP_INDENT + 5, y - 6,
			22, AMAP_INDENT - 8);
	begin_label(out, x, y, w - rounds - 10, HEAD);
	fprintf(out, "<text class=\"h2\" x=\"0\" y=\"20\">%u ", p->pid);
	amap_put_text(out, p->comm, 40);
	fputs("</text><text class=\"mu\" x=\"0\" y=\"35\">", out);
	put_sum(out, l->am, p);
	fputs("</text></svg>\n", out);
	if (rounds && !p->zombie && !p->broken_pages)
		amap_draw_rounds(out, l->am, &p->counts, AMAP_WIDTH - AMAP_MARGIN - rounds, y + 12,
				 HEAD - 14);
}

static int draw_error(FILE *out, const struct amap_process *p, int x, int y)
{
	if (out) {
		begin_label(out, x, y, AMAP_WIDTH - AMAP_MARGIN - x, 18);
		fputs("<text class=\"er\" x=\"0\" y=\"12\">can't be read: ", out);
		amap_put_text(out, p->error, 400);
		fputs("</text></svg>\n", out);
	}
	return 18;
}

int amap_draw_panel(FILE *out, const struct amap_layout *l, const struct amap_panel *panel, int y)
{
	int line = ROW_ADDRESS + ROW_BAND + ROW_CELLS + lanes_height(l->am) + ROW_GAP +
		   (panel->has_tags ? ROW_TAGS : 0);
	int x = AMAP_MARGIN + panel->indent, h = HEAD;

	if (out)
		draw_panel_head(out, l, panel, x, y);
	if (panel->p->error)
		h += draw_error(out, panel->p, x, y + h);
	if (out) {
		fprintf(out, "<g transform=\"translate(%d %d)\">\n", x, y + h);
		vec_foreach (g, &panel->groups)
			draw_group(out, l, panel, g, (int)g->line * line);
		fputs("</g>\n", out);
	}
	return h + (int)panel->nlines * line + 8;
}
