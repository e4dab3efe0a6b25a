/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a subcommand of torpor image: a table says which options it has. */
#pragma once

#include "base/vec.h"
#include "cli/image.h"

typedef VEC(uint32_t) image_numbers;

/* What an option sets; its value, if any, is the next word or stands behind '='. */
enum image_value {
	IMAGE_FLAG,    /* bool: true */
	IMAGE_BITS,    /* unsigned int: the bits are added */
	IMAGE_TEXT,    /* const char * */
	IMAGE_NUMBER,  /* uint32_t, not 0 */
	IMAGE_NUMBERS, /* image_numbers: one more each time; to be freed by the caller */
};

struct image_option {
	const char *name; /* --name; NULL ends the table */
	char letter;	  /* 0: it has none */
	enum image_value value;
	void *to;
	unsigned int bits;
};

/*
 * argv[0] is the subcommand's name. Words that are no options go to `words`: at least `min`, at
 * most `max` of them, and NULL for each that isn't there. IMAGE_OK, or IMAGE_USAGE with the reason
 * said.
 */
int image_words(const struct image_command *cmd, int argc, char **argv,
		const struct image_option *options, const char **words, size_t min, size_t max);
