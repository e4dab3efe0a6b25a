/* SPDX-License-Identifier: Apache-2.0 */
/* All problems of a directory of images, as JSON: image/check_each.c finds them. */
#include "base/auto.h"
#include "base/parse.h"
#include "image/check.h"
#include "inspect/context.h"
#include "inspect/json.h"

#include <fcntl.h>
#include <string.h>

/* "core-12.img: tc.task_state: 9", or with "record at 12: " in it, or with a directory in front. */
static void add_place(json_t *row, const char *text)
{
	const char *end = strstr(text, ".img: "), *at = end, *rest;
	char number[24] = "";
	size_t n;

	if (!end)
		return;
	while (at > text && at[-1] != ' ' && at[-1] != '/')
		at--;
	json_object_set_new(row, "file", json_text(at, (size_t)(end + 4 - at)));
	rest = end + 6;
	if (str_after(rest, "record at ")) {
		const char *p = str_after(rest, "record at ");
		uint64_t record;

		n = strspn(p, "0123456789");
		snprintf(number, sizeof(number), "%.*s", (int)MIN(n, sizeof(number) - 1), p);
		if (parse_u64(number, 10, &record) == 0)
			json_object_set_new(row, "record", json_integer((json_int_t)record));
		rest = p[n] == ':' ? p + n + 2 : p + n;
	}
	n = strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789_.");
	if (n && rest[n] == ':')
		json_object_set_new(row, "field", json_text(rest, n));
}

struct listing {
	const struct torpor_image *ti;
	json_t *problems;
};

static void tell_progress(void *arg, const char *image, uint64_t done, uint64_t total)
{
	context_progress(((struct listing *)arg)->ti, image, done, total);
}

static void add_problem(void *arg, const struct err *problem)
{
	json_t *row = json_object();

	json_object_set_new(row, "text", json_string_of(problem->text));
	if (problem->hint[0])
		json_object_set_new(row, "hint", json_string_of(problem->hint));
	add_place(row, problem->text);
	json_array_append_new(((struct listing *)arg)->problems, row);
}

static int check(const struct torpor_image *ti, const char *path, bool verify, json_t *out,
		 struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct img_dir dir = {.fd = fd, .work_fd = fd, .path = path};
	struct listing listing = {ti, json_array()};
	const struct image_listener l = {add_problem, tell_progress, &listing};
	int images;

	json_object_set_new(out, "dir", json_string_of(path));
	json_object_set_new(out, "problems", listing.problems);
	if (fd < 0)
		return err_sys(err, -errno, "images directory %s", path);
	images = image_check_each(&dir, verify, &l, err);
	TRY(images);
	json_object_set_new(out, "images", json_integer(images));
	return 0;
}

int torpor_image_check(struct torpor_image *ti, const char *dir, int verify, char **ret_json)
{
	json_t *out = json_object();
	int r = check(ti, dir, verify, out, context_begin(ti));

	if (r == 0)
		*ret_json = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	return r;
}
