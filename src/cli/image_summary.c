/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torpor image summary: what a person wants to know about a checkpoint first, on one screen. The
 * tree of processes is in image_summary_tree.c.
 */
#include "cli/image_summary.h"
#include "cli/image_words.h"

#include "base/auto.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define NAMES_SHOWN 4 /* of a list, without --full */

static void print_label(const struct summary_view *v, const char *label)
{
	printf("%s%-10s%s", v->style.bold, label, v->style.off);
}

/* -------------------------------------------------------- when and where */

static const char *ago(int64_t seconds, char buf[48])
{
	char count[48];

	if (seconds < 0)
		return "in the future";
	if (seconds < 120)
		text_count((uint64_t)seconds, "second", count);
	else if (seconds < 7200)
		text_count((uint64_t)seconds / 60, "minute", count);
	else if (seconds < 172800)
		text_count((uint64_t)seconds / 3600, "hour", count);
	else
		text_count((uint64_t)seconds / 86400, "day", count);
	snprintf(buf, 48, "%.40s ago", count);
	return buf;
}

static void print_when(const struct summary_view *v, const json_t *dumped)
{
	time_t at = (time_t)text_get_num(dumped, "time");
	const char *kernel = text_get(dumped, "kernel"), *cpu = text_get(dumped, "cpu");
	char when[32] = "?", since[48];
	struct tm tm;

	if (at && localtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	print_label(v, "dumped");
	printf("%s%s %s(%s)%s\n",
	       json_is_true(json_object_get(dumped, "time_exact")) ? "" : "about ", when,
	       v->style.dim, ago(time(NULL) - at, since), v->style.off);
	if (!kernel[0] && !cpu[0])
		return;
	print_label(v, "on");
	printf("%s%s%s%s\n", kernel[0] ? "Linux " : "", kernel, kernel[0] && cpu[0] ? ", " : "",
	       cpu);
}

static void print_title(const struct summary_view *v)
{
	const json_t *totals = json_object_get(v->j, "totals"), *images;
	const char *kind = text_get(v->j, "kind");
	uint64_t n = text_get_num(totals, "processes"), threads = text_get_num(totals, "threads");
	char processes[48], thread_text[48], size[TEXT_BYTES];

	images = json_object_get(v->j, "images");
	printf("%s%s%s: ", v->style.accent, text_get(v->j, "dir"), v->style.off);
	if (!kind[0])
		printf("not a complete checkpoint");
	else if (threads > n)
		printf("%s of %s, %s", kind, text_count(n, "process", processes),
		       text_count(threads, "thread", thread_text));
	else
		printf("%s of %s", kind, text_count(n, "process", processes));
	printf("; %s, %s\n", text_count(text_get_num(images, "files"), "image file", processes),
	       text_bytes(text_get_num(images, "bytes"), size));
}

/* ---------------------------------------------------------------- memory */

static void print_memory(const struct summary_view *v)
{
	static const struct {
		const char *key, *text;
	} kinds[] = {{"private", "private"},
		     {"cow", "shared by copy-on-write"},
		     {"shared", "in shared objects"},
		     {"parents", "in parent images"},
		     {"lazy", "left to the lazy-pages server"}};
	const json_t *m = json_object_get(json_object_get(v->j, "totals"), "memory");
	const char *sep = "";
	char size[TEXT_BYTES];

	print_label(v, "memory");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint64_t bytes = text_get_num(m, kinds[i].key);

		if (!bytes && i)
			continue;
		printf("%s%s %s", sep, text_bytes(bytes, size), kinds[i].text);
		sep = ", ";
	}
	if (text_get_num(m, "mapped"))
		printf(" %s(of %s mapped)%s", v->style.dim,
		       text_bytes(text_get_num(m, "mapped"), size), v->style.off);
	putchar('\n');
}

/* ----------------------------------------------------------------- lists */

/* "label  a, b, c and 12 more"; with --full one per line. Nothing for an empty list. */
static void print_list(const struct summary_view *v, const char *label, const json_t *list,
		       void (*print)(const json_t *item))
{
	size_t n = json_array_size(list), shown = v->full ? n : MIN(n, NAMES_SHOWN);

	if (!n)
		return;
	if (n == shown + 1)
		shown = n;
	print_label(v, label);
	for (size_t i = 0; i < shown; i++) {
		if (i)
			printf(v->full ? "\n%-10s" : ", ", "");
		print(json_array_get(list, i));
	}
	if (shown < n)
		printf(" %sand %zu more%s", v->style.dim, n - shown, v->style.off);
	putchar('\n');
}

static void print_clean(const char *s)
{
	text_print_cut(stdout, s, (int)strlen(s));
}

static void print_path(const json_t *item)
{
	print_clean(json_string_value(item) ? json_string_value(item) : "?");
}

/* Of a library, its name alone says which. */
static void print_base_name(const json_t *item)
{
	const char *path = json_string_value(item) ? json_string_value(item) : "?";
	const char *slash = strrchr(path, '/');

	print_clean(slash && slash[1] ? slash + 1 : path);
}

static void print_listening(const json_t *item)
{
	printf("%s ", text_get(item, "protocol"));
	print_clean(text_get(item, "address"));
}

static void print_connection(const json_t *item)
{
	printf("%s %s -> %s", text_get(item, "protocol"), text_get(item, "local"),
	       text_get(item, "peer"));
}

static void print_tty(const json_t *item)
{
	const char *type = text_get(item, "type");

	if (strcmp(type, "pty") == 0)
		printf("/dev/pts/%" PRIu64 "%s%s", text_get_num(item, "index"),
		       strcmp(text_get(item, "end"), "master") == 0 ? " (master)" : "",
		       json_is_true(json_object_get(item, "external_master")) ? " (from outside)"
									      : "");
	else
		printf("%s", type);
}

static void print_external(const json_t *item)
{
	printf("%s ", text_get(item, "what"));
	print_clean(text_get(item, "key"));
}

/* ----------------------------------------------------------------- files */

/* Kinds are plurals, nearly all with an s. Returns the column; goes to the next line at its end. */
static int print_kind(int column, const char *sep, uint64_t n, const char *kind)
{
	int len = (int)strlen(kind);
	char text[96];

	if (n == 1 && len && kind[len - 1] == 's')
		len--;
	snprintf(text, sizeof(text), "%" PRIu64 " %.*s", n, len, kind);
	column += printf("%s", sep);
	if (column + (int)strlen(text) + 1 > text_width())
		column = printf("\n%-10s", "") - 1;
	return column + printf("%s", text);
}

static void print_files(const struct summary_view *v)
{
	const json_t *f = json_object_get(v->j, "files"), *count;
	json_t *kinds = json_object_get(f, "kinds");
	const char *kind, *sep = ": ";
	int column;

	if (!f)
		return;
	print_label(v, "files");
	column = 10 + printf("%" PRIu64 " descriptors", text_get_num(f, "descriptors"));
	json_object_foreach(kinds, kind, count)
	{
		column = print_kind(column, sep, (uint64_t)json_integer_value(count), kind);
		sep = ", ";
	}
	putchar('\n');
	print_list(v, "  deleted", json_object_get(f, "deleted"), print_path);
	print_list(v, "  listens", json_object_get(f, "listening"), print_listening);
	print_list(v, "  talks", json_object_get(f, "connections"), print_connection);
	print_list(v, "  ttys", json_object_get(f, "terminals"), print_tty);
}

static void print_needs(const struct summary_view *v)
{
	const json_t *needs = json_object_get(v->j, "needs"), *why;
	json_t *options = json_object_get(needs, "options");
	void (*library)(const json_t *) = v->full ? print_path : print_base_name;
	const char *option;

	print_list(v, "programs", json_object_get(needs, "executables"), print_path);
	print_list(v, "libraries", json_object_get(needs, "libraries"), library);
	print_list(v, "maps", json_object_get(needs, "mapped_files"), library);
	print_list(v, "opens", json_object_get(needs, "open_files"), print_path);
	print_list(v, "external", json_object_get(needs, "external"), print_external);
	json_object_foreach(options, option, why)
	{
		print_label(v, "restore");
		printf("with %s%s%s: %s\n", v->style.accent, option, v->style.off,
		       json_string_value(why));
	}
}

/* ------------------------------------------------------- images, statistics */

struct size_row {
	const char *kind;
	uint64_t files, bytes;
};

static int compare_sizes(const void *a, const void *b)
{
	const struct size_row *x = a, *y = b;

	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : strcmp(x->kind, y->kind);
}

static void print_images(const struct summary_view *v)
{
	json_t *kinds = json_object_get(json_object_get(v->j, "images"), "kinds"), *row;
	size_t n = json_object_size(kinds), i = 0, shown = v->full ? n : MIN(n, NAMES_SHOWN);
	struct size_row *rows = calloc(n + 1, sizeof(*rows));
	char size[TEXT_BYTES];
	const char *kind;

	if (!rows || !n) {
		free(rows);
		return;
	}
	json_object_foreach(kinds, kind, row) rows[i++] =
		(struct size_row){kind, text_get_num(row, "files"), text_get_num(row, "bytes")};
	qsort(rows, n, sizeof(*rows), compare_sizes);
	print_label(v, "images");
	for (i = 0; i < shown; i++)
		printf("%s%s %s", i ? ", " : "", rows[i].kind, text_bytes(rows[i].bytes, size));
	putchar('\n');
	free(rows);
}

static void print_stats(const struct summary_view *v)
{
	const json_t *s = json_object_get(v->j, "stats");
	char a[TEXT_BYTES], b[TEXT_BYTES];

	if (!s)
		return;
	print_label(v, "took");
	printf("frozen for %s; memory %s", text_micros(text_get_num(s, "frozen_us"), a),
	       text_micros(text_get_num(s, "memdump_us"), b));
	printf("; %" PRIu64 " pages written, %" PRIu64 " in parents, of %" PRIu64 " scanned\n",
	       text_get_num(s, "pages_written"), text_get_num(s, "pages_skipped_parent"),
	       text_get_num(s, "pages_scanned"));
}

static void print_chain(const struct summary_view *v)
{
	const json_t *chain = json_object_get(v->j, "chain");
	size_t n = json_array_size(chain), shown = v->full ? n : MIN(n, NAMES_SHOWN);

	if (n < 2)
		return;
	print_label(v, "builds on");
	for (size_t i = 1; i < shown; i++) {
		printf("%s", i > 1 ? ", " : "");
		print_path(json_array_get(chain, i));
	}
	if (shown < n)
		printf(" %sand %zu more%s", v->style.dim, n - shown, v->style.off);
	putchar('\n');
}

static void print_problems(const struct summary_view *v)
{
	const json_t *problems = json_object_get(v->j, "problems");
	size_t n = json_array_size(problems), shown = v->full ? n : MIN(n, 10);

	for (size_t i = 0; i < shown; i++) {
		printf("%sproblem%s   ", v->style.bad, v->style.off);
		print_path(json_array_get(problems, i));
		putchar('\n');
	}
	if (shown < n)
		printf("%sand %zu more problems%s\n", v->style.bad, n - shown, v->style.off);
}

static void print_all(const struct summary_view *v)
{
	print_title(v);
	if (json_object_get(v->j, "dumped"))
		print_when(v, json_object_get(v->j, "dumped"));
	print_chain(v);
	if (json_object_get(v->j, "totals"))
		print_memory(v);
	summary_print_tree(v);
	print_files(v);
	print_needs(v);
	print_images(v);
	print_stats(v);
	print_problems(v);
}

/* --------------------------------------------------------------- command */

int image_summary(const struct image_command *cmd, int argc, char **argv)
{
	bool json = false, full = false;
	const struct image_option options[] = {
		{"json", 0, IMAGE_FLAG, &json, 0},
		{"full", 0, IMAGE_FLAG, &full, 0},
		{0},
	};
	struct summary_view v;
	struct torpor_image *ti;
	const char *dir;
	char *text = NULL;
	int r = image_words(cmd, argc, argv, options, &dir, 1, 1);

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	if (torpor_image_summary(ti, dir, &text) < 0) {
		r = image_failed(cmd, ti);
		torpor_image_free(ti);
		return r;
	}
	v = (struct summary_view){
		.j = json_loads(text, 0, NULL), .style = image_style(image_colour()), .full = full};
	if (json)
		puts(text);
	else
		print_all(&v);
	r = json_array_size(json_object_get(v.j, "problems")) ? IMAGE_FAILED : IMAGE_OK;
	json_decref(v.j);
	free(text);
	torpor_image_free(ti);
	return r;
}
