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

/* ------------------------------------------------------------------ memory */

#define TORPOR_CORE_FULL (1u << 0) /* with the contents of mapped files, if they are at hand */

/*
 * Writes an ELF core file of a process to fd: a regular file is replaced and has holes, anything
 * else is written from front to back. Refused: dead processes, 32-bit ones, other machines than
 * x86-64.
 */
TORPOR_IMAGE_API int torpor_checkpoint_core(struct torpor_checkpoint *cp, uint32_t pid, int fd,
					    unsigned int flags);

#ifdef __cplusplus
}
#endif
