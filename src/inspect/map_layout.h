/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/: what of the model is in the picture, and where. All measures are in pixels.
 *
 * A panel is one process: its mappings as blocks in the order of addresses, wrapped like text. What
 * belongs together (the segments of a library, a stack and its guard) is a group with one label. Of
 * many processes the most interesting ones get a panel; of many mappings of one process those with
 * the most in them get a block, and what lies between is folded into one.
 */
#pragma once

#include "inspect/map_model.h"

enum {
	AMAP_WIDTH = 1240, /* of the picture */
	AMAP_MARGIN = 20,
	AMAP_INDENT = 18, /* for each step down the tree */
};

struct amap_block {
	size_t first, n; /* mappings of the process */
	enum amap_kind kind;
	uint64_t start, end;
	uint64_t npages;
	size_t object, family; /* AMAP_NONE: none, or not all the same */
	struct amap_counts counts;
	struct amap_bins bins;
	int x, w;
};

struct amap_group {
	size_t first, n; /* blocks */
	uint64_t gap;	 /* bytes in front of it that nothing is mapped at */
	int x, w;
	unsigned int line;
};

struct amap_panel {
	struct amap_process *p;
	int indent;
	VEC(struct amap_block) blocks;
	VEC(struct amap_group) groups;
	unsigned int nlines;
	bool has_tags; /* some block has a number to be shown */
};

/* Processes without a panel, by their name. */
struct amap_rest {
	const char *comm;
	size_t n, nzombies;
	struct amap_counts counts;
	uint64_t npages;
};

struct amap_layout {
	struct amap *am;
	VEC(struct amap_panel) panels; /* in the order of the tree */
	VEC(struct amap_rest) rest;    /* most pages first */
	size_t nrest;
	bool chosen; /* the user has chosen which processes */
};

/*
 * pids: those to show; npids 0: at most max_panels, as interesting as can be. Pids that aren't
 * there are passed over. What a panel needs of pages is counted again, into bins.
 */
void amap_layout_make(struct amap *am, const uint32_t *pids, size_t npids, size_t max_panels,
		      struct amap_layout *ret);
void amap_layout_done(struct amap_layout *l);
/* How wide so many pages are: eight times as many are twice as wide, up to a limit. */
int amap_width_of(uint64_t npages);

struct amap_label {
	char name[96]; /* of the file, or what it is; "12 folded": so many mappings */
	char size[64]; /* "1.2M of 4.0M": in the checkpoint, and all; nothing: just its size */
};
struct amap_label amap_group_label(const struct amap_panel *panel, const struct amap_group *g);

/* A gap this large gets a mark and its size; others are some blank pixels. */
#define AMAP_GAP_SHOWN (UINT64_C(1) << 20)
