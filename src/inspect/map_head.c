/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is above and below the processes: title, totals, legend, rounds; all processes side by side;
 * what is shared with whom; and those that have no panel.
 */
#include "inspect/map_draw.h"

#include "base/auto.h"
#include "inspect/map_text.h"

#include <inttypes.h>
#include <string.h>

enum {
	RIGHT = AMAP_WIDTH - AMAP_MARGIN,
	INSIDE = AMAP_WIDTH - 2 * AMAP_MARGIN,
	ROUNDS_H = 46,
	ROUNDS_ROOM = 90, /* to the left of the chart: its name */
	SKYLINE_H = 56,
	BAR_MAX = 64,
	BAR_LABEL = 40, /* from that width on a bar has its pid below */
	COLUMNS = 2,	/* of the list of what is shared */
	REST_MAX = 24,
	REST_W = 200, /* of the longest bar */
};

/* ------------------------------------------------------------------- title */

static void put_counted(FILE *out, size_t n, const char *what, const char *many)
{
	fprintf(out, "%zu %s", n, n == 1 ? what : many);
}

static void draw_title(FILE *out, const struct amap *am, int w)
{
	fprintf(out, "<svg x=\"%d\" y=\"10\" width=\"%d\" height=\"30\" class=\"lb\">", AMAP_MARGIN,
		w);
	fputs("<text class=\"h1\" x=\"0\" y=\"22\">", out);
	amap_put_text(out, am->title, 160);
	fputs("</text></svg>\n", out);
	fprintf(out, "<text x=\"%d\" y=\"56\">%s of %s \u00b7 ", AMAP_MARGIN,
		am->cp->pre_dump ? "Memory of a pre-dump" : "Address spaces of a dump", am->date);
	put_counted(out, am->processes.len, "process", "processes");
	if (am->nzombies)
		fprintf(out, " (%zu dead)", am->nzombies);
	fputs(" \u00b7 ", out);
	put_counted(out, am->nmappings, am->cp->pre_dump ? "range" : "mapping",
		    am->cp->pre_dump ? "ranges" : "mappings");
	fprintf(out, ", %s", amap_pages(am->npages).s);
	if (am->nreserved)
		fprintf(out, " + %s reserved", amap_pages(am->nreserved).s);
	fputs("</text>\n", out);
}

static void draw_totals(FILE *out, const struct amap *am)
{
	uint64_t kept = amap_kept(&am->counts), cow = amap_layer_sum(&am->counts, AMAP_COW);
	uint64_t here = am->counts.n[AMAP_OWN][0] + am->counts.n[AMAP_COW][0];

	fprintf(out, "<text x=\"%d\" y=\"73\">In the checkpoint: %s", AMAP_MARGIN,
		amap_pages(kept).s);
	if (am->depth > 1)
		fprintf(out,
			", of that %s in this directory (round %zu) and %s in the %zu that it "
			"builds on",
			amap_pages(here).s, am->depth, amap_pages(kept - here).s, am->depth - 1);
	if (cow)
		fprintf(out, "; %s are shared by copy-on-write (counted once)", amap_pages(cow).s);
	fputs(".</text>\n", out);
}

static int draw_errors(FILE *out, const struct amap *am, int y)
{
	size_t n = 0;

	vec_foreach (p, &am->processes)
		n += p->error != NULL;
	if (!am->first_error.code)
		return 0;
	if (out) {
		fprintf(out, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"18\" class=\"lb\">",
			AMAP_MARGIN, y, INSIDE);
		fputs("<text class=\"er\" x=\"0\" y=\"13\">", out);
		if (n)
			fprintf(out, "%zu of the processes can't be read whole. First: ", n);
		amap_put_text(out, am->first_error.text, 400);
		fputs("</text></svg>\n", out);
	}
	return 18;
}

/* ------------------------------------------------------------------ legend */

/* Items that are set like words; out NULL: only measured. */
struct flow {
	FILE *out;
	int left, x, y;
};

static int item_width(const char *text, bool swatch)
{
	return (int)strlen(text) * 6 + (swatch ? 34 : 14);
}

static void begin_item(struct flow *f, const char *text, bool swatch)
{
	if (f->x + item_width(text, swatch) > RIGHT && f->x > f->left) {
		f->x = f->left;
		f->y += 17;
	}
	if (f->out)
		fprintf(f->out, "<text x=\"%d\" y=\"%d\">%s</text>", f->x + (swatch ? 18 : 0), f->y,
			text);
}

static void end_item(struct flow *f, const char *text, bool swatch)
{
	f->x += item_width(text, swatch);
}

static void draw_swatch(struct flow *f, const char *text, const char *class, bool hatch)
{
	begin_item(f, text, true);
	if (f->out)
		amap_put_rect(f->out, class, f->x, f->y - 11, 13, 13);
	if (f->out && hatch)
		amap_put_rect(f->out, "hatch", f->x, f->y - 11, 13, 13);
	end_item(f, text, true);
}

static void draw_words(struct flow *f, const char *text)
{
	begin_item(f, text, false);
	end_item(f, text, false);
}

static void new_row(struct flow *f, const char *title)
{
	f->x = AMAP_MARGIN;
	f->y += 18;
	if (f->out)
		fprintf(f->out, "<text class=\"mu\" x=\"%d\" y=\"%d\">%s</text>", f->x, f->y,
			title);
	f->x = f->left;
}

static void draw_kinds(struct flow *f, const struct amap_layout *l)
{
	bool used[AMAP_KIND_MAX] = {false};

	vec_foreach (panel, &l->panels)
		vec_foreach (b, &panel->blocks)
			used[b->kind] = true;
	new_row(f, "Bands: mappings");
	for (int i = 0; i < AMAP_KIND_MAX; i++)
		if (used[i])
			draw_swatch(f, amap_kind_name((enum amap_kind)i),
				    amap_kind_class((enum amap_kind)i), false);
}

static void draw_classes(struct flow *f, const struct amap *am)
{
	char text[128];

	new_row(f, "Below: pages");
	for (unsigned int i = 0; i < am->nlevels; i++) {
		struct amap_round round = amap_round_name(am, i);

		if (am->depth == 1)
			snprintf(text, sizeof(text), "in the checkpoint");
		else
			snprintf(text, sizeof(text), "%s%s%s", i ? "" : "last written in ", round.s,
				 i ? "" : " (this directory)");
		draw_swatch(f, text, amap_level_class(i).s, false);
	}
	if (amap_layer_sum(&am->counts, AMAP_COW))
		draw_swatch(f, "shared by copy-on-write", "l0", true);
	draw_swatch(f, am->cp->pre_dump ? "no page" : "untouched, zero, or as in the file", "cell",
		    false);
}

static void draw_reading(struct flow *f, const struct amap *am)
{
	new_row(f, "How to read it");
	draw_words(f, "A column is as high as its share of pages that is in the checkpoint.");
	draw_words(f, "Twice as wide is 8 times as large; the widest are cut.");
	draw_words(f, "// 1.2G: a gap where nothing is mapped.");
	if (am->nlevels > 1)
		draw_words(f, "Lanes at the bottom: what each round has written, oldest on top.");
}

static int draw_legend(FILE *out, const struct amap_layout *l, int y)
{
	struct flow f = {out, AMAP_MARGIN + 110, 0, y};

	draw_kinds(&f, l);
	draw_classes(&f, l->am);
	draw_reading(&f, l->am);
	return f.y - y + 10;
}

/* ------------------------------------------------------------------ rounds */

/* The name of a round's directory below its bar. */
static void draw_round_names(FILE *out, const struct amap *am, int x, int y)
{
	int w = amap_rounds_width(am) / (int)am->nlevels;

	for (unsigned int i = am->nlevels; i-- > 0; x += w) {
		bool older = i + 1 == am->nlevels && am->depth > am->nlevels;

		fprintf(out, "<g><title>");
		amap_put_text(out, page_store_path(am->store, i), 300);
		fprintf(out, "</title><text class=\"sm mu mid\" x=\"%d\" y=\"%d\">",
			x + (w - 6) / 2, y);
		if (older)
			fprintf(out, "1\u2013%zu", am->depth - i);
		else
			fprintf(out, "%zu", am->depth - i);
		fputs("</text></g>", out);
	}
}

static void draw_all_rounds(FILE *out, const struct amap *am)
{
	int w = amap_rounds_width(am), x = RIGHT - w;

	fprintf(out,
		"<text class=\"mu end\" x=\"%d\" y=\"%d\">Written</text>"
		"<text class=\"mu end\" x=\"%d\" y=\"%d\">by round</text>",
		x - 8, 50, x - 8, 64);
	amap_draw_rounds(out, am, &am->counts, x, 22, ROUNDS_H);
	draw_round_names(out, am, x, 22 + ROUNDS_H + 12);
}

/* ----------------------------------------------------------- all processes */

/* What one bar stands for: one process, or some neighbours if there are more than pixels. */
struct bar {
	size_t first, n;
	struct amap_counts counts;
};

static void put_bar_tip(FILE *out, const struct amap *am, const struct bar *b)
{
	const struct amap_process *p = &am->processes.data[b->first];

	if (b->n == 1) {
		fprintf(out, "%u ", p->pid);
		amap_put_text(out, p->comm, 40);
	} else {
		fprintf(out, "%u to %u: %zu processes", p->pid,
			am->processes.data[b->first + b->n - 1].pid, b->n);
	}
	fprintf(out, "\nprivate: %s\nshared by copy-on-write: %s",
		amap_pages(amap_layer_sum(&b->counts, AMAP_OWN)).s,
		amap_pages(amap_layer_sum(&b->counts, AMAP_COW)).s);
}

static size_t make_bars(const struct amap *am, struct bar *bars, size_t most, uint64_t *ret_full)
{
	size_t n = am->processes.len, each = (n + most - 1) / most, nbars = (n + each - 1) / each;

	*ret_full = 1;
	for (size_t i = 0; i < n; i++) {
		struct bar *b = &bars[i / each];

		if (i % each == 0)
			*b = (struct bar){.first = i};
		b->n++;
		amap_counts_add(&b->counts, &am->processes.data[i].counts);
		*ret_full = MAX(*ret_full, amap_kept(&b->counts));
	}
	return nbars;
}

static void draw_bars(FILE *out, const struct amap *am, int y)
{
	auto_free struct bar *bars = xcalloc((size_t)INSIDE, sizeof(*bars));
	uint64_t full;
	size_t n = make_bars(am, bars, (size_t)INSIDE, &full);
	int w = MIN(INSIDE / (int)n, (int)BAR_MAX);

	fprintf(out,
		"<text class=\"h2\" x=\"%d\" y=\"%d\">Processes <tspan class=\"mu\" "
		"font-weight=\"400\" font-size=\"11\">in the order of the tree: pages in the "
		"checkpoint; the highest bar is %s</tspan></text>\n",
		AMAP_MARGIN, y + 14, amap_pages(full).s);
	for (size_t i = 0; i < n; i++) {
		int x = AMAP_MARGIN + (int)i * w, bar = w > 3 ? w - 1 : w;

		fputs("<g class=\"p\"><title>", out);
		put_bar_tip(out, am, &bars[i]);
		fputs("</title>", out);
		amap_put_rect(out, "bar", x, y + 22 + SKYLINE_H, bar, 1);
		amap_draw_column(out, am, &bars[i].counts, full, x, y + 22, bar, SKYLINE_H);
		if (w >= BAR_LABEL)
			fprintf(out, "<text class=\"sm mu mid\" x=\"%d\" y=\"%d\">%u</text>",
				x + bar / 2, y + 34 + SKYLINE_H, am->processes.data[i].pid);
		fputs("</g>\n", out);
	}
}

static int draw_skyline(FILE *out, const struct amap *am, int y)
{
	if (am->processes.len < 2)
		return 0;
	if (out)
		draw_bars(out, am, y);
	return SKYLINE_H + 44;
}

/* ---------------------------------------------------------- what is shared */

struct shared_thing {
	unsigned int tag;
	const char *name;
	uint64_t npages;
	const struct amap_users *users;
	const struct amap_family *family; /* or NULL */
};

static size_t list_shared(const struct amap *am, struct shared_thing *list, size_t most)
{
	size_t n = 0;

	vec_foreach (o, &am->objects)
		if (o->tag && o->tag <= most)
			list[n++] =
				(struct shared_thing){o->tag, o->name, o->npages, &o->users, NULL};
	vec_foreach (f, &am->families)
		if (f->tag && f->tag <= most)
			list[n++] = (struct shared_thing){f->tag, f->name, f->npages, &f->users, f};
	return n;
}

static void draw_shared_thing(FILE *out, const struct shared_thing *t, int x, int y)
{
	fprintf(out,
		"<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"17\" class=\"lb\">"
		"<text x=\"0\" y=\"12\">#%u ",
		x, y, INSIDE / COLUMNS - 16, t->tag);
	if (t->name[0])
		amap_put_text(out, amap_base_name(t->name), 40);
	else
		fputs("anon", out);
	if (t->family)
		fprintf(out, " at %" PRIx64 ", up to %s copy-on-write", t->family->start,
			amap_pages(t->npages).s);
	else
		fprintf(out, ", %s", amap_pages(t->npages).s);
	fputs(": <tspan class=\"mu\">", out);
	amap_put_users(out, t->users, 3);
	fputs("</tspan></text></svg>\n", out);
}

static int draw_shared(FILE *out, const struct amap *am, int y)
{
	struct shared_thing list[32];
	size_t n = list_shared(am, list, ARRAY_SIZE(list));
	size_t rows = (n + COLUMNS - 1) / COLUMNS;

	if (!n)
		return 0;
	if (out)
		fprintf(out,
			"<text class=\"h2\" x=\"%d\" y=\"%d\">Shared <tspan class=\"mu\" "
			"font-weight=\"400\" font-size=\"11\">by several processes: the largest; "
			"the numbers are below the blocks</tspan></text>\n",
			AMAP_MARGIN, y + 14);
	for (size_t i = 0; out && i < n; i++) {
		size_t place = list[i].tag - 1;

		draw_shared_thing(out, &list[i],
				  AMAP_MARGIN + (int)(place / rows) * (INSIDE / COLUMNS),
				  y + 20 + (int)(place % rows) * 17);
	}
	return 30 + (int)rows * 17;
}

int amap_draw_head(FILE *out, const struct amap_layout *l)
{
	const struct amap *am = l->am;
	int rounds = amap_rounds_width(am), y = 82;

	if (out) {
		draw_title(out, am, INSIDE - (rounds ? rounds + ROUNDS_ROOM : 0));
		draw_totals(out, am);
		if (rounds)
			draw_all_rounds(out, am);
	}
	y += rounds ? 10 : 0;
	y += draw_errors(out, am, y);
	y += draw_legend(out, l, y);
	y += draw_skyline(out, am, y);
	return y + draw_shared(out, am, y);
}

/* --------------------------------------------------------- without a panel */

static void draw_rest_row(FILE *out, const struct amap_layout *l, const struct amap_rest *r,
			  uint64_t full, int y)
{
	uint64_t own = amap_layer_sum(&r->counts, AMAP_OWN);
	uint64_t cow = amap_layer_sum(&r->counts, AMAP_COW);
	int w = (int)((double)amap_kept(&r->counts) / (double)full * REST_W + 0.5);

	amap_put_rect(out, "bar", AMAP_MARGIN, y + 3, REST_W, 9);
	if (w) {
		int own_w = (int)((double)own / (double)(own + cow) * w + 0.5);

		amap_put_rect(out, "l0", AMAP_MARGIN, y + 3, w, 9);
		amap_put_rect(out, "hatch", AMAP_MARGIN + own_w, y + 3, w - own_w, 9);
	}
	fprintf(out, "<text x=\"%d\" y=\"%d\">%zu \u00d7 ", AMAP_MARGIN + REST_W + 12, y + 12,
		r->n);
	amap_put_text(out, r->comm[0] ? r->comm : "(name unknown)", 40);
	fprintf(out,
		" \u00b7 %s mapped \u00b7 in the checkpoint: %s private, %s shared by "
		"copy-on-write",
		amap_pages(r->npages).s, amap_pages(own).s, amap_pages(cow).s);
	if (l->am->depth > 1)
		fprintf(out, " \u00b7 written in round %zu: %s", l->am->depth,
			amap_pages(r->counts.n[AMAP_WRITTEN][0]).s);
	if (r->nzombies)
		fprintf(out, " \u00b7 %zu dead", r->nzombies);
	fputs("</text>\n", out);
}

int amap_draw_rest(FILE *out, const struct amap_layout *l, int y)
{
	size_t n = MIN(l->rest.len, (size_t)REST_MAX);
	uint64_t full = 1;

	if (!l->nrest)
		return 0;
	vec_foreach (r, &l->rest)
		full = MAX(full, amap_kept(&r->counts));
	if (out)
		fprintf(out,
			"<text class=\"h2\" x=\"%d\" y=\"%d\">%zu more processes <tspan "
			"class=\"mu\" font-weight=\"400\" font-size=\"11\">by name; %s; --pid shows "
			"any of them</tspan></text>\n",
			AMAP_MARGIN, y + 18, l->nrest,
			l->chosen ? "not asked for"
				  : "those above have the most private pages in the checkpoint");
	y += 28;
	for (size_t i = 0; out && i < n; i++)
		draw_rest_row(out, l, &l->rest.data[i], full, y + (int)i * 18);
	if (out && l->rest.len > n)
		fprintf(out, "<text class=\"mu\" x=\"%d\" y=\"%d\">and %zu more names</text>",
			AMAP_MARGIN, y + (int)n * 18 + 12, l->rest.len - n);
	return 28 + (int)(n + (l->rest.len > n)) * 18 + 10;
}
