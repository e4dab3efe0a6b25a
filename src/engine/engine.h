/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs. Each is a recipe in its own file (dump.c, restore.c, dedup.c, check_tree.c) and
 * returns 0 or a negative errno with err set; the caller prints the error, once.
 */
#pragma once

#include "base/err.h"
#include "engine/options.h"
#include "image/image.h"

/*
 * Freezes the tree below o->pid, writes its images and stats-dump, and lets it go on, stops or
 * kills it, as the options say. After a failure the tree runs as before. -ECANCELED: the images
 * are complete but a post-dump script failed; the tree runs.
 */
MUST_USE int engine_dump(const struct options *o, const struct img_dir *dir, struct err *err);
/*
 * Copies the memory of the tree below o->pid while it runs, and writes stats-dump. From then on it
 * is tracked what is written, so that the next pre-dump or dump needs that alone.
 */
MUST_USE int engine_pre_dump(const struct options *o, const struct img_dir *dir, struct err *err);
/*
 * Makes the tree of the images and lets it run (or stops it); the root task is then a child of
 * this process (a sibling with --restore-sibling). Writes the pidfile and stats-restore. After a
 * failure nothing is left.
 */
MUST_USE int engine_restore(const struct options *o, const struct img_dir *dir, struct err *err);
/* Checks the images against this machine and prints the plan on stdout. Creates nothing. */
MUST_USE int engine_restore_dry_run(const struct options *o, const struct img_dir *dir,
				    struct err *err);
/*
 * Punches out of the images that those in `dir` build on what they have no use for any more.
 * Without such images there is nothing to do, which is a warning.
 */
MUST_USE int engine_dedup(const struct options *o, const struct img_dir *dir, struct err *err);
/*
 * Prints, on stdout, everything that would stop a dump of the tree below o->pid, without freezing
 * it. Returns how many things that is.
 */
MUST_USE int engine_check_tree(const struct options *o, struct err *err);
