/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives a process of a checkpoint another name, with libtorpor-image:
 *
 *	cc rename-process.c $(pkg-config --cflags --libs libtorpor-image jansson)
 *	./a.out /tmp/images 812 sleeper
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <torpor-image.h>

static int fail(const struct torpor_image *ti)
{
	fprintf(stderr, "%s; %s\n", torpor_image_error(ti), torpor_image_hint(ti));
	return 1;
}

/* The name stands in the record twice: as the process's and as its first thread's. */
static char *renamed(const char *text, const char *name)
{
	json_t *image = json_loads(text, 0, NULL);
	json_t *core = json_array_get(json_object_get(image, "entries"), 0);
	char *result;

	json_object_set_new(json_object_get(core, "tc"), "comm", json_string(name));
	json_object_set_new(json_object_get(core, "thread_core"), "comm", json_string(name));
	result = json_dumps(image, 0);
	json_decref(image);
	return result;
}

int main(int argc, char **argv)
{
	struct torpor_image *ti = torpor_image_new();
	char path[4096], *text, *edited;

	if (argc != 4)
		return 2;
	snprintf(path, sizeof(path), "%s/core-%s.img", argv[1], argv[2]);
	if (torpor_image_load(ti, path, TORPOR_IMAGE_BIG_AS_TEXT, &text) < 0)
		return fail(ti);
	edited = renamed(text, argv[3]);
	if (!edited || torpor_image_store(ti, path, edited) < 0)
		return fail(ti);
	if (torpor_image_reseal(ti, argv[1]) < 0)
		return fail(ti);
	free(edited);
	free(text);
	torpor_image_free(ti);
	return 0;
}
