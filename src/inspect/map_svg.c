/* SPDX-License-Identifier: Apache-2.0 */
/* The picture as one SVG file: nothing moves, the text of a block shows where viewers show titles.
 */
#include "inspect/map_draw.h"

void amap_write_svg(FILE *out, const struct amap_layout *l)
{
	int y, height = amap_draw_head(NULL, l);

	vec_foreach (panel, &l->panels)
		height += amap_draw_panel(NULL, l, panel, 0);
	height += amap_draw_rest(NULL, l, 0) + AMAP_MARGIN;
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\">\n<style>",
		AMAP_WIDTH, height, AMAP_WIDTH, height);
	amap_put_style(out, l->am, /* dark= */ false);
	fprintf(out, "</style>\n<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n", AMAP_WIDTH,
		height);
	amap_put_defs(out);
	y = amap_draw_head(out, l);
	vec_foreach (panel, &l->panels)
		y += amap_draw_panel(out, l, panel, y);
	amap_draw_rest(out, l, y);
	fputs("</svg>\n", out);
}
