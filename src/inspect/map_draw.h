/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/: the parts of the picture as SVG elements, which are the same in an SVG file and
 * in a page of HTML. Each draw function says how high its part is, whether `out` is NULL (nothing
 * is drawn) or not.
 */
#pragma once

#include "inspect/map_layout.h"

#include <stdio.h>

/* Title, totals, legend, rounds, all processes, what is shared. */
int amap_draw_head(FILE *out, const struct amap_layout *l);
/* One process; its top is at y. */
int amap_draw_panel(FILE *out, const struct amap_layout *l, const struct amap_panel *panel, int y);
/* Processes without a panel; 0 if there are none. */
int amap_draw_rest(FILE *out, const struct amap_layout *l, int y);

/* What is said of a block: lines of text for <title>. */
void amap_put_block_tip(FILE *out, const struct amap_layout *l, const struct amap_panel *panel,
			const struct amap_block *b);
/* "812, 813, 814 and 7 more": names at most so many */
void amap_put_users(FILE *out, const struct amap_users *u, size_t most);
/* "round 5"; "rounds 1-3" for the class that stands for all older ones. */
struct amap_round {
	char s[48];
};
struct amap_round amap_round_name(const struct amap *am, unsigned int level);
/* What rounds have written, side by side, the oldest first; as wide as it says. */
int amap_rounds_width(const struct amap *am);
void amap_draw_rounds(FILE *out, const struct amap *am, const struct amap_counts *c, int x, int y,
		      int h);
void amap_put_rect(FILE *out, const char *class, int x, int y, int w, int h);
/* A column of pages by class, h pixels high for `full` pages. */
void amap_draw_column(FILE *out, const struct amap *am, const struct amap_counts *c, uint64_t full,
		      int x, int y, int w, int h);

/* Colours as CSS, for classes of elements: light only, or with a dark set for those who want it. */
void amap_put_style(FILE *out, const struct amap *am, bool dark);
/* The class for a round's colour; that for shared pages, on top of it, is "hatch". */
struct amap_class {
	char s[16];
};
struct amap_class amap_level_class(unsigned int level);
/* The class for a kind's colour, and its name in the legend. */
const char *amap_kind_class(enum amap_kind kind);
const char *amap_kind_name(enum amap_kind kind);
/* <defs>: the hatch of shared pages. */
void amap_put_defs(FILE *out);

/* The whole picture. */
void amap_write_svg(FILE *out, const struct amap_layout *l);
void amap_write_html(FILE *out, const struct amap_layout *l);
