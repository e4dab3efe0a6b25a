/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image diff: what changed between two checkpoints, like diff: 0 equal, 1 not, 2 trouble. */
#include "cli/image.h"
#include "cli/image_text.h"
#include "cli/image_words.h"

#include "base/auto.h"

#include <inttypes.h>
#include <string.h>

enum { DIFF_EQUAL = 0, DIFF_DIFFERENT = 1, DIFF_TROUBLE = 2 };

#define ROWS_MAX     20 /* of a kind, without --all */
#define MAPPINGS_MAX 8	/* of a process, without --all */
#define RANGES_MAX   4	/* of a mapping, without --all */

struct view {
	const json_t *j;
	struct style style;
	bool all;
};

/* ------------------------------------------------------------------- pieces */

static void print_text(const char *s)
{
	text_print_cut(stdout, s, 4096);
}

/* "+", "-" or "~", in its colour; the row's text follows. */
static void print_mark(const struct view *v, const char *what)
{
	if (strcmp(what, "new") == 0 || strcmp(what, "opened") == 0)
		printf("  %s+%s ", v->style.good, v->style.off);
	else if (strcmp(what, "gone") == 0 || strcmp(what, "closed") == 0)
		printf("  %s-%s ", v->style.bad, v->style.off);
	else
		printf("  %s~%s ", v->style.accent, v->style.off);
}

/* Prints a list under its title; `print` for each row. */
static void print_list(const struct view *v, const char *title, const char *key,
		       void (*print)(const struct view *v, const json_t *row))
{
	const json_t *list = json_object_get(v->j, key);
	size_t n = json_array_size(list), shown = v->all ? n : MIN(n, ROWS_MAX);

	if (!n)
		return;
	printf("%s%s%s\n", v->style.bold, title, v->style.off);
	for (size_t i = 0; i < shown; i++)
		print(v, json_array_get(list, i));
	if (shown < n)
		printf("  %sand %zu more: --all shows them%s\n", v->style.dim, n - shown,
		       v->style.off);
}

/* ---------------------------------------------------------------------- rows */

static void print_process(const struct view *v, const json_t *row)
{
	print_mark(v, text_get(row, "what"));
	printf("%" PRIu64 " ", text_get_num(row, "pid"));
	print_text(text_get(row, "comm"));
	putchar('\n');
}

static void print_thread(const struct view *v, const json_t *row)
{
	print_mark(v, text_get(row, "what"));
	printf("%" PRIu64 ": thread %" PRIu64 "\n", text_get_num(row, "pid"),
	       text_get_num(row, "tid"));
}

static void print_change(const json_t *row)
{
	print_text(text_get(row, "field"));
	fputs(": ", stdout);
	print_text(text_get(row, "a"));
	fputs(" -> ", stdout);
	print_text(text_get(row, "b"));
}

static void print_mapping(const struct view *v, const json_t *row)
{
	const json_t *change;
	size_t i;

	print_mark(v, text_get(row, "what"));
	printf("%" PRIu64 ": %" PRIx64 "-%" PRIx64 " %s ", text_get_num(row, "pid"),
	       text_get_num(row, "start"), text_get_num(row, "end"), text_get(row, "prot"));
	print_text(text_get(row, "name"));
	json_array_foreach(json_object_get(row, "changes"), i, change)
	{
		fputs(i ? ", " : "  ", stdout);
		print_change(change);
	}
	putchar('\n');
}

static void print_descriptor(const struct view *v, const json_t *row)
{
	print_mark(v, text_get(row, "what"));
	printf("%" PRIu64 ": fd %" PRIu64 " ", text_get_num(row, "pid"), text_get_num(row, "fd"));
	print_text(text_get(row, "name"));
	putchar('\n');
}

static void print_image(const struct view *v, const json_t *row)
{
	json_int_t a = json_integer_value(json_object_get(row, "a"));
	json_int_t b = json_integer_value(json_object_get(row, "b"));

	print_mark(v, a < 0 ? "new" : b < 0 ? "gone" : "changed");
	print_text(text_get(row, "image"));
	if (a >= 0 && b >= 0 && a != b)
		printf(": %" PRId64 " -> %" PRId64 " bytes", (int64_t)a, (int64_t)b);
	putchar('\n');
}

static void print_problem(const struct view *v, const json_t *row)
{
	printf("  %s", v->style.bad);
	print_text(text_get(row, "dir"));
	fputs(": ", stdout);
	print_text(text_get(row, "text"));
	puts(v->style.off);
}

/* --------------------------------------------------------------------- pages */

static void print_counts(const json_t *row)
{
	static const struct {
		const char *key, *text;
	} kinds[] = {{"changed", "changed"}, {"only_b", "new"}, {"only_a", "gone"}};
	const char *sep = "";

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint64_t n = text_get_num(row, kinds[i].key);

		if (!n)
			continue;
		printf("%s%" PRIu64 " %s", sep, n, kinds[i].text);
		sep = ", ";
	}
}

/* The ranges that begin inside of a mapping; those of all ascend, so *next goes on. */
static void print_ranges(const struct view *v, const json_t *ranges, uint64_t end, size_t *next)
{
	size_t shown = 0, hidden = 0;

	for (; *next < json_array_size(ranges); ++*next) {
		const json_t *r = json_array_get(ranges, *next);
		uint64_t start = text_get_num(r, "start"), pages = text_get_num(r, "pages");

		if (start >= end)
			break;
		if (!v->all && shown == RANGES_MAX) {
			hidden++;
			continue;
		}
		printf("%s%" PRIx64 "+%" PRIu64, shown++ ? " " : "  at ", start, pages);
	}
	if (hidden)
		printf(" %sand %zu more%s", v->style.dim, hidden, v->style.off);
}

static void print_pages(const struct view *v, const json_t *row)
{
	const json_t *ranges = json_object_get(row, "ranges"), *mapping;
	size_t next = 0, i;

	printf("  %s~%s ", v->style.accent, v->style.off);
	if (json_object_get(row, "pid"))
		printf("%" PRIu64 ": ", text_get_num(row, "pid"));
	else
		printf("shared object %" PRIu64 ": ", text_get_num(row, "shmid"));
	print_counts(row);
	printf(" of %" PRIu64, text_get_num(row, "same") + text_get_num(row, "changed") +
				       text_get_num(row, "only_a") + text_get_num(row, "only_b"));
	if (!json_object_get(row, "mappings"))
		print_ranges(v, ranges, UINT64_MAX, &next);
	putchar('\n');
	json_array_foreach(json_object_get(row, "mappings"), i, mapping)
	{
		if (!v->all && i == MAPPINGS_MAX) {
			printf("      %sand %zu more mappings%s\n", v->style.dim,
			       json_array_size(json_object_get(row, "mappings")) - i, v->style.off);
			break;
		}
		printf("      %" PRIx64 "-%" PRIx64 ": ", text_get_num(mapping, "start"),
		       text_get_num(mapping, "end"));
		print_counts(mapping);
		print_ranges(v, ranges, text_get_num(mapping, "end"), &next);
		putchar('\n');
	}
}

/* ------------------------------------------------------------------- records */

static void print_records(const struct view *v)
{
	const json_t *list = json_object_get(v->j, "records"), *row;
	size_t i, shown = 0, noise = 0, hidden = 0;

	json_array_foreach(list, i, row)
	{
		if (!v->all && json_is_true(json_object_get(row, "noise"))) {
			noise++;
			continue;
		}
		if (!v->all && shown == ROWS_MAX) {
			hidden++;
			continue;
		}
		if (!shown++)
			printf("%sRecords%s\n", v->style.bold, v->style.off);
		print_mark(v, "changed");
		print_text(text_get(row, "image"));
		fputs(": ", stdout);
		print_change(row);
		putchar('\n');
	}
	if (hidden)
		printf("  %sand %zu more: --all shows them%s\n", v->style.dim, hidden,
		       v->style.off);
	if (noise)
		printf("%s%zu registers and the like differ: --all shows them%s\n", v->style.dim,
		       noise, v->style.off);
}

static void print_all(const struct view *v)
{
	print_list(v, "Processes", "processes", print_process);
	print_list(v, "Threads", "threads", print_thread);
	print_list(v, "Mappings", "mappings", print_mapping);
	print_list(v, "Pages", "pages", print_pages);
	print_list(v, "Descriptors", "descriptors", print_descriptor);
	print_records(v);
	print_list(v, "Other images", "images", print_image);
	print_list(v, "Not compared", "problems", print_problem);
	if (json_is_true(json_object_get(v->j, "equal")))
		printf("equal: %" PRIu64 " pages compared\n", text_get_num(v->j, "pages_compared"));
}

/* ------------------------------------------------------------------- command */

static int status_of(const json_t *j)
{
	if (json_array_size(json_object_get(j, "problems")))
		return DIFF_TROUBLE;
	return json_is_true(json_object_get(j, "equal")) ? DIFF_EQUAL : DIFF_DIFFERENT;
}

int image_diff(const struct image_command *cmd, int argc, char **argv)
{
	bool json = false, all = false;
	const struct image_option options[] = {
		{"json", 0, IMAGE_FLAG, &json, 0},
		{"all", 0, IMAGE_FLAG, &all, 0},
		{0},
	};
	struct torpor_image *ti;
	const char *dirs[2];
	char *text = NULL;
	struct view v;
	int r = image_words(cmd, argc, argv, options, dirs, 2, 2);

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	if (torpor_image_diff(ti, dirs[0], dirs[1], &text) < 0) {
		image_failed(cmd, ti);
		torpor_image_free(ti);
		return DIFF_TROUBLE;
	}
	v = (struct view){
		.j = json_loads(text, 0, NULL), .style = image_style(image_colour()), .all = all};
	if (json)
		puts(text);
	else
		print_all(&v);
	r = status_of(v.j);
	json_decref((json_t *)v.j);
	free(text);
	torpor_image_free(ti);
	return r;
}
