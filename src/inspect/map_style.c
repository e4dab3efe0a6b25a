/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Colours. Two scales that can't be taken for each other, also by the colour-blind: kinds of
 * mappings are cool and pale (and have their name beside them), rounds are warm, from pale (old) to
 * saturated and dark (new; in the dark theme: bright), so that lightness alone tells them apart.
 */
#include "inspect/map_draw.h"

#include "base/auto.h"

struct colour {
	const char *class, *name;
	const char *light, *dark;
};

/* clang-format off */
static const struct colour kinds[AMAP_KIND_MAX] = {
	[AMAP_HEAP] =         {"k-heap", "heap", "#a9dcc1", "#1f5f45"},
	[AMAP_STACK] =        {"k-stack", "stack", "#d5c3ee", "#54417c"},
	[AMAP_ANON] =         {"k-anon", "anonymous", "#b5d5f2", "#25507c"},
	[AMAP_FILE_PRIVATE] = {"k-file", "file, private", "#d3d9de", "#454e57"},
	[AMAP_FILE_SHARED] =  {"k-fshared", "file, shared", "#9fdfe2", "#155f66"},
	[AMAP_SHM] =          {"k-shm", "shared memory", "#efbfe0", "#79366a"},
	[AMAP_KERNEL] =       {"k-kernel", "of the kernel", "#e6e6e0", "#3a3a37"},
	[AMAP_RESERVED] =     {"k-none", "reserved (no access)", "#f4f4f1", "#26272a"},
	[AMAP_OTHER] =        {"k-other", "other", "#dfe0b4", "#55562b"},
	[AMAP_RANGE] =        {"k-range", "range of pages (a pre-dump doesn't say what)", "#b5d5f2", "#25507c"},
	[AMAP_FOLDED] =       {"k-folded", "several mappings, folded", "#e3e9ee", "#333a42"},
};

/* Newest to oldest. */
static const struct { unsigned char rgb[3]; } warm_light[] = {
	{{0xb3, 0x1b, 0x0c}}, {{0xe8, 0x63, 0x1a}}, {{0xf5, 0xa9, 0x4a}}, {{0xdd, 0xcb, 0xa4}},
}, warm_dark[] = {
	{{0xff, 0xe1, 0x6b}}, {{0xff, 0x9d, 0x2e}}, {{0xd0, 0x55, 0x22}}, {{0x98, 0x6a, 0x55}},
};
enum { STOPS = ARRAY_SIZE(warm_light) };

static const struct colour others[] = {
	{"bg", "", "#ffffff", "#17181b"},
	{"mu", "", "#62666b", "#a0a4a9"},
	{"er", "", "#b00020", "#ff8a80"},
	{"cell", "", "#f0f0ec", "#222327"},
	{"bar", "", "#e4e4df", "#2c2d31"},
};
/* clang-format on */

struct amap_class amap_level_class(unsigned int level)
{
	struct amap_class class;

	snprintf(class.s, sizeof(class.s), "l%u", level);
	return class;
}

const char *amap_kind_class(enum amap_kind kind)
{
	return kinds[kind].class;
}

const char *amap_kind_name(enum amap_kind kind)
{
	return kinds[kind].name;
}

static void put_ramp(FILE *out, const struct amap *am, bool dark)
{
	for (unsigned int i = 0; i < am->nlevels; i++) {
		/* Where there is one round only, nothing is hotter than anything else. */
		double at = am->nlevels > 1 ? (double)i / (am->nlevels - 1) * (STOPS - 1) : 1;
		size_t k = MIN((size_t)at, (size_t)STOPS - 2);
		unsigned int c[3];

		for (int j = 0; j < 3; j++) {
			double a = dark ? warm_dark[k].rgb[j] : warm_light[k].rgb[j];
			double b = dark ? warm_dark[k + 1].rgb[j] : warm_light[k + 1].rgb[j];

			c[j] = (unsigned int)(a + (b - a) * (at - (double)k) + 0.5);
		}
		fprintf(out, ".l%u{fill:#%02x%02x%02x}", i, c[0], c[1], c[2]);
	}
}

static void put_colours(FILE *out, const struct amap *am, bool dark)
{
	for (int i = 0; i < AMAP_KIND_MAX; i++)
		fprintf(out, ".%s{fill:%s}", kinds[i].class, dark ? kinds[i].dark : kinds[i].light);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		fprintf(out, ".%s{fill:%s}", others[i].class,
			dark ? others[i].dark : others[i].light);
	put_ramp(out, am, dark);
	fprintf(out, ".ln{stroke:%s;fill:none}", dark ? "#5b5e63" : "#a9adb1");
	/* The hatch has to be seen on each of the warm colours, and on nothing else. */
	fprintf(out, ".line{stroke:%s;stroke-width:1.3;fill:none}", dark ? "#17181b" : "#ffffff");
}

void amap_put_style(FILE *out, const struct amap *am, bool dark)
{
	fputs("text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;"
	      "font-size:11px;fill:#1c1d1f}"
	      ".h1{font-size:20px;font-weight:600}.h2{font-size:13px;font-weight:600}"
	      ".sm{font-size:9.5px}"
	      ".mono{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:9px}"
	      ".end{text-anchor:end}.mid{text-anchor:middle}"
	      /* What is pointed at is the block behind its label. */
	      ".lb{pointer-events:none}"
	      ".hatch{fill:url(#stripes)}.s1,.pale{opacity:.4}.s2{opacity:.7}",
	      out);
	put_colours(out, am, /* dark= */ false);
	if (!dark)
		return;
	fputs("@media (prefers-color-scheme:dark){text{fill:#e8e8e4}", out);
	put_colours(out, am, /* dark= */ true);
	fputs("}", out);
}

void amap_put_defs(FILE *out)
{
	fputs("<defs><pattern id=\"stripes\" width=\"4\" height=\"4\" "
	      "patternUnits=\"userSpaceOnUse\"><path class=\"line\" "
	      "d=\"M-1 1L1 -1M0 4L4 0M3 5L5 3\"/></pattern></defs>\n",
	      out);
}
