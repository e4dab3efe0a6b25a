/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libtorpor-image: read, check and edit the images of a checkpoint (torpor's, and CRIU's).
 *
 *	struct torpor_image *ti = torpor_image_new();
 *	struct torpor_checkpoint *cp;
 *
 *	if (torpor_checkpoint_open(ti, "/tmp/images", &cp) < 0)
 *		fprintf(stderr, "%s; %s\n", torpor_image_error(ti), torpor_image_hint(ti));
 *	...
 *	torpor_checkpoint_close(cp);
 *	torpor_image_free(ti);
 *
 * A context (struct torpor_image) holds the text of the last error and how progress is reported. It
 * and what was opened with it belong to one thread at a time; several contexts know nothing of each
 * other. Functions return 0, or what their comment says, or a negative errno; after that
 * torpor_image_error() tells what went wrong, until the next call with the same context. Strings
 *are UTF-8 as far as the images are. Results are JSON texts where they have structure, so that any
 * language can use them. Nothing is printed, no signal handled, no privilege needed but to read the
 * files. Where there is no memory left, the process is aborted.
 *
 * The interface is stable from version 1 on: functions are added, never changed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TORPOR_IMAGE_VERSION 1
#define TORPOR_IMAGE_API     __attribute__((visibility("default")))

/* ---------------------------------------------------------------- context */

struct torpor_image;

TORPOR_IMAGE_API struct torpor_image *torpor_image_new(void);
TORPOR_IMAGE_API void torpor_image_free(struct torpor_image *ti); /* accepts NULL */

/* TORPOR_IMAGE_VERSION of the library that is loaded. */
TORPOR_IMAGE_API int torpor_image_version(void);

/* The last error's text, and what can be done about it; "" if there is none. */
TORPOR_IMAGE_API const char *torpor_image_error(const struct torpor_image *ti);
TORPOR_IMAGE_API const char *torpor_image_hint(const struct torpor_image *ti);

/*
 * Called now and then by what may take long: `done` of `total` bytes (0: not known) of `what`,
 * which is a file's name. NULL: nobody is told.
 */
typedef void torpor_image_progress(void *arg, const char *what, uint64_t done, uint64_t total);
TORPOR_IMAGE_API void torpor_image_on_progress(struct torpor_image *ti, torpor_image_progress *fn,
					       void *arg);

/* ------------------------------------------------------------- checkpoints */

struct torpor_checkpoint;

/*
 * An images directory, with those that it builds on. -EINVAL: there is no valid inventory or
 * process tree. Images of a pre-dump can be opened: they have memory only.
 */
TORPOR_IMAGE_API int torpor_checkpoint_open(struct torpor_image *ti, const char *dir,
					    struct torpor_checkpoint **ret);
TORPOR_IMAGE_API void torpor_checkpoint_close(struct torpor_checkpoint *cp); /* accepts NULL */

/* ------------------------------------------------- looking at a checkpoint */

/*
 * What is in a directory of images (also of a pre-dump), in short, as a JSON object: "dumped",
 * "processes", "totals", "files", "needs", "images", "stats", "chain"; docs:
 * torpor-image-summary(8). *ret_json is to be freed. Images that can't be read are named in
 * "problems", and the rest is described; so this fails only if there is no such directory.
 */
TORPOR_IMAGE_API int torpor_image_summary(struct torpor_image *ti, const char *dir,
					  char **ret_json);

/*
 * Everything that a restore would verify of the images, and the rest of them, without stopping at
 * the first problem: {"dir", "images": NUMBER, "problems": [{"text", "hint", "file", "record",
 * "field"}]}; the last three as far as a problem has them. With `verify` checksums are compared,
 * too, those of pages in all levels of a chain. Fails only if there is no such directory.
 */
TORPOR_IMAGE_API int torpor_image_check(struct torpor_image *ti, const char *dir, int verify,
					char **ret_json);

/*
 * What changed from checkpoint A to B (also pre-dumps: pages only): {"a", "b", "equal",
 * "processes", "threads", "mappings", "pages", "pages_compared", "descriptors", "records",
 * "images", "problems"}; lists that would be empty are absent. docs: torpor-image-diff(8).
 */
TORPOR_IMAGE_API int torpor_image_diff(struct torpor_image *ti, const char *a, const char *b,
				       char **ret_json);

#ifdef __cplusplus
}
#endif
