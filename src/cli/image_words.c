/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/image_words.h"

#include "base/auto.h"
#include "base/parse.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS_MAX 16
/* What getopt_long() returns for the first one of the table. */
#define FIRST 1000

static bool takes_value(const struct image_option *o)
{
	return o->value != IMAGE_FLAG && o->value != IMAGE_BITS;
}

/* The table as getopt_long() wants it. ":" as the first letter tells missing values apart. */
static void fill_tables(const struct image_option *options, struct option *longs, char *letters)
{
	size_t i;

	*letters++ = ':';
	for (i = 0; options[i].name; i++) {
		const struct image_option *o = &options[i];

		longs[i] = (struct option){o->name,
					   takes_value(o) ? required_argument : no_argument, NULL,
					   FIRST + (int)i};
		if (o->letter)
			*letters++ = o->letter;
		if (o->letter && takes_value(o))
			*letters++ = ':';
	}
	longs[i] = (struct option){NULL};
	*letters = '\0';
}

static const struct image_option *find_option(const struct image_option *options, int c)
{
	if (c >= FIRST)
		return &options[c - FIRST];
	while (options->letter != c)
		options++;
	return options;
}

static int take_number(const struct image_command *cmd, const struct image_option *o, uint32_t *ret)
{
	if (parse_u32(optarg, 10, ret) < 0 || !*ret)
		return image_usage(cmd, "--%s: '%s' isn't a number above 0", o->name, optarg);
	return IMAGE_OK;
}

static int take_option(const struct image_command *cmd, const struct image_option *o)
{
	switch (o->value) {
	case IMAGE_FLAG:
		*(bool *)o->to = true;
		break;
	case IMAGE_BITS:
		*(unsigned int *)o->to |= o->bits;
		break;
	case IMAGE_TEXT:
		*(const char **)o->to = optarg;
		break;
	case IMAGE_NUMBER:
		return take_number(cmd, o, o->to);
	case IMAGE_NUMBERS:
		return take_number(cmd, o, vec_push((image_numbers *)o->to));
	}
	return IMAGE_OK;
}

static int take_words(const struct image_command *cmd, int argc, char **argv, const char **words,
		      size_t min, size_t max)
{
	size_t n = (size_t)(argc - optind);

	if (n > max)
		return image_usage(cmd, "'%s' is a word too many", argv[optind + (int)max]);
	if (n < min)
		return image_usage(cmd, "%s",
				   min - n == 1 ? "a word is missing" : "words are missing");
	for (size_t i = 0; i < max; i++)
		words[i] = i < n ? argv[optind + (int)i] : NULL;
	return IMAGE_OK;
}

int image_words(const struct image_command *cmd, int argc, char **argv,
		const struct image_option *options, const char **words, size_t min, size_t max)
{
	char letters[2 * OPTIONS_MAX + 2];
	struct option longs[OPTIONS_MAX + 1];
	int c, r = IMAGE_OK;

	fill_tables(options, longs, letters);
	optind = 0; /* a new start */
	opterr = 0;
	while (r == IMAGE_OK && (c = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
		if (c == ':')
			r = image_usage(cmd, "'%s' needs a value", argv[optind - 1]);
		else if (c == '?')
			r = image_usage(cmd,
					optopt >= FIRST ? "'%s': this option takes no value"
							: "'%s': no such option",
					argv[optind - 1]);
		else
			r = take_option(cmd, find_option(options, c));
	}
	return r == IMAGE_OK ? take_words(cmd, argc, argv, words, min, max) : r;
}
