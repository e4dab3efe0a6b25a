/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image mem: its words, and what it does with them. */
#pragma once

#include "cli/image.h"

#include <stdio.h>

struct mem_words {
	const char *dir, *output;
	struct torpor_memory_range range;
	bool has_addr, has_len;
	bool all; /* --len all */
	bool raw, json, strings;
	uint32_t min; /* of --strings; 0: not given */
	const char *search;
	uint8_t *pattern; /* what --search comes to */
	size_t pattern_len;
};

/* Each returns the exit status. */
int mem_list(const struct image_command *cmd, struct torpor_image *ti, struct torpor_checkpoint *cp,
	     const struct mem_words *w);
int mem_show(const struct image_command *cmd, struct torpor_image *ti, struct torpor_checkpoint *cp,
	     const struct mem_words *w, FILE *out);
int mem_search(const struct image_command *cmd, struct torpor_image *ti,
	       struct torpor_checkpoint *cp, const struct mem_words *w);
