/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image check: a line per problem, and how many there are. */
#include "cli/image.h"
#include "cli/image_text.h"
#include "cli/image_words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The hint is the same for most: it is told once, behind them. */
static void print_problems(const json_t *problems, const struct style *style)
{
	const char *hint = "";
	const json_t *row;
	size_t i;

	json_array_foreach(problems, i, row)
	{
		fputs(style->bad, stdout);
		text_print_cut(stdout, text_get(row, "text"), 4096);
		puts(style->off);
		if (!hint[0])
			hint = text_get(row, "hint");
	}
	if (hint[0])
		printf("%s%s%s\n", style->dim, hint, style->off);
}

static void print_all(const json_t *j)
{
	const json_t *problems = json_object_get(j, "problems");
	struct style style = image_style(image_colour());
	size_t n = json_array_size(problems);
	char a[48], b[48];

	print_problems(problems, &style);
	printf("%s%s in %s%s\n", n ? style.bold : style.good, text_count(n, "problem", a),
	       text_count(text_get_num(j, "images"), "image", b), style.off);
}

int image_check_dir(const struct image_command *cmd, int argc, char **argv)
{
	bool json = false, no_verify = false;
	const struct image_option options[] = {
		{"json", 0, IMAGE_FLAG, &json, 0},
		{"no-verify", 0, IMAGE_FLAG, &no_verify, 0},
		{0},
	};
	struct torpor_image *ti;
	const char *dir;
	char *text = NULL;
	json_t *j;
	int r = image_words(cmd, argc, argv, options, &dir, 1, 1);

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	if (torpor_image_check(ti, dir, !no_verify, &text) < 0) {
		r = image_failed(cmd, ti);
		torpor_image_free(ti);
		return r;
	}
	j = json_loads(text, 0, NULL);
	if (json)
		puts(text);
	else
		print_all(j);
	r = json_array_size(json_object_get(j, "problems")) ? IMAGE_FAILED : IMAGE_OK;
	json_decref(j);
	free(text);
	torpor_image_free(ti);
	return r;
}
