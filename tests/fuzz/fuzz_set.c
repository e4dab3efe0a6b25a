/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_set.h"

#include "../lib/imgwalk.h"
#include "../lib/samples.h"
#include "base/arena.h"
#include "image/kinds.h"

#include <stdlib.h>
#include <string.h>

/* Per kind: the first image of the set, and its own bytes. */
struct original {
	char *name;
	uint8_t *data;
	size_t len;
};

static struct img_dir dir;
static struct original originals[IMG_KIND_MAX];
static const struct original *replaced; /* by the last input */

static void remove_set(void)
{
	for (size_t k = 0; k < IMG_KIND_MAX; k++) {
		free(originals[k].name);
		free(originals[k].data);
	}
	sample_remove(&dir);
}

static void make_set(void)
{
	char **names;
	size_t n;

	sample_copy("multi", &dir);
	atexit(remove_set);
	n = sample_names(&dir, &names);
	for (size_t i = 0; i < n; i++) {
		struct original *o;
		enum img_kind kind;
		uint64_t id;

		if (!imgwalk_kind(names[i], &kind, &id) || originals[kind].name)
			continue;
		o = &originals[kind];
		o->name = xstrdup(names[i]);
		o->data = sample_read(dir.fd, names[i], &o->len);
	}
	sample_names_free(names, n);
}

static const struct original *original_of(const uint8_t *data, size_t size)
{
	uint32_t words[2];

	if (size < sizeof(words))
		return NULL;
	memcpy(words, data, sizeof(words));
	for (size_t k = 0; k < IMG_KIND_MAX; k++) {
		uint32_t magic = img_row((enum img_kind)k)->magic;

		if (originals[k].name && (words[0] == magic || words[1] == magic))
			return &originals[k];
	}
	return NULL;
}

const struct img_dir *fuzz_set_with(const uint8_t *data, size_t size)
{
	const struct original *o;

	if (!dir.path)
		make_set();
	o = original_of(data, size);
	if (!o)
		return NULL;
	if (replaced && replaced != o)
		sample_write(dir.fd, replaced->name, replaced->data, replaced->len);
	sample_write(dir.fd, o->name, data, size);
	replaced = o;
	return &dir;
}
