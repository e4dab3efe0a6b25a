/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that looks at a checkpoint (libtorpor-image), with one image of a set replaced: who is asked
 * to look at somebody's images shouldn't have to trust them.
 */
#include "fuzz_set.h"

#include "fuzz_files.h"
#include "inspect/torpor-image.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct torpor_image *ti;

/* What failed has a reason. */
static void expect(int64_t r)
{
	fuzz_assert(r >= 0 || torpor_image_error(ti)[0]);
}

/* JSON that can be read. */
static void take_json(int r, char **text)
{
	json_t *j = r < 0 ? NULL : json_loads(*text, JSON_DECODE_ANY, NULL);

	expect(r);
	fuzz_assert(r < 0 || j);
	json_decref(j);
	if (r >= 0)
		free(*text);
}

static int stop_soon(void *arg, uint32_t pid, uint64_t addr, const void *bytes, size_t len)
{
	return ++*(unsigned int *)arg >= 100;
}

/* The first bytes of each mapping. */
static void read_memory(struct torpor_checkpoint *cp, uint32_t pid, const char *mappings)
{
	json_t *j = json_loads(mappings, 0, NULL), *m;
	uint64_t start, end;
	char buf[5000];
	size_t i;

	json_array_foreach(json_object_get(j, "mappings"), i, m)
	{
		start = strtoull(json_string_value(json_object_get(m, "start")), NULL, 16);
		expect(torpor_checkpoint_mapping_at(cp, pid, start, &start, &end));
		expect(torpor_checkpoint_read_memory(cp, pid, start, buf, sizeof(buf),
						     TORPOR_MEMORY_NO_FILES));
	}
	json_decref(j);
}

static void look_at_memory(struct torpor_checkpoint *cp, uint32_t pid)
{
	struct torpor_memory_range range = {.pid = pid, .flags = TORPOR_MEMORY_NO_FILES};
	int fd = fuzz_memfd("", 0), r;
	unsigned int found = 0;
	char *text;

	r = torpor_checkpoint_mappings(cp, pid, &text);
	if (r == 0)
		read_memory(cp, pid, text);
	take_json(r, &text);
	expect(torpor_checkpoint_memory_strings(cp, &range, 4, stop_soon, &found));
	expect(torpor_checkpoint_core(cp, pid, fd, 0));
	close(fd);
}

static void look_at(struct torpor_checkpoint *cp)
{
	static const char *const views[] = {"ps", "fds", "mems", "rss"};
	int fd = fuzz_memfd("", 0);
	char *text;

	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		int r = torpor_checkpoint_explore(cp, views[i], &text);

		expect(r);
		if (r == 0)
			free(text);
	}
	expect(torpor_checkpoint_map(cp, fd, TORPOR_MAP_SVG, NULL));
	close(fd);
	look_at_memory(cp, 17942);
	look_at_memory(cp, 17944);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct img_dir *dir = fuzz_set_with(data, size);
	struct torpor_checkpoint *cp = NULL;
	char *text;

	if (!dir)
		return 0;
	ti = torpor_image_new();
	take_json(torpor_image_summary(ti, dir->path, &text), &text);
	take_json(torpor_image_check(ti, dir->path, 1, &text), &text);
	take_json(torpor_image_diff(ti, dir->path, dir->path, &text), &text);
	if (torpor_checkpoint_open(ti, dir->path, &cp) == 0)
		look_at(cp);
	torpor_checkpoint_close(cp);
	torpor_image_free(ti);
	return 0;
}
