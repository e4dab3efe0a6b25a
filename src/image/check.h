/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross checks of a whole image directory, before anything is created from it: completeness,
 * order, sizes, ids and references. Format facts: ../shared/formats/IMAGES.md section 23.
 *
 * Who loads images afterwards may rely on: each file that a task needs is there, each id that is
 * used is known and of the right type, arrays have the length that their use implies, mappings and
 * pages are in order and inside the address space. Whether this machine can give what the images
 * ask for (pids, paths, sizes of files, CPU features) is not looked at.
 */
#pragma once

#include "image/image.h"

/*
 * 0, or what is wrong: ERR_INPUT with file, record and field, ERR_REFUSED for images of a kind that
 * torpor doesn't restore. Reads every image once; what it keeps while it runs goes into the arena.
 */
MUST_USE int image_check(const struct img_dir *dir, struct arena *a, struct err *err);

/* One of the problems of image_check_each: valid during the call. */
typedef void image_problem_fn(void *arg, const struct err *problem);
/* So many bytes of pages were compared, the last ones those of this image. */
typedef void image_progress_fn(void *arg, const char *image, uint64_t done, uint64_t total);

struct image_listener {
	image_problem_fn *problem;
	image_progress_fn *progress; /* or NULL */
	void *arg;		     /* of both */
};

/*
 * The same without stopping at the first problem, and more of it: every image file is decoded to
 * its end, also those that a restore doesn't read, and with `sums` all checksums of all levels are
 * compared, those of pages too. Images of a pre-dump can be checked. No problem is told twice. What
 * follows from another one may be: a list for people. Returns how many image files there are, or
 * why the directory can't be read.
 */
MUST_USE int image_check_each(const struct img_dir *dir, bool sums, const struct image_listener *l,
			      struct err *err);
