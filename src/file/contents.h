/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What files contain: build ids and checksums, each found out once for each inode, however many
 * descriptors and processes use it. Large files are summed by threads in the background.
 *
 * A file is found by its name. What lies at the name must be the inode that was asked about, else
 * there is an answer for nobody.
 */
#pragma once

#include "base/arena.h"
#include "image/buildid.h"
#include "image/checksum.h"

#include <sys/stat.h>

struct contents;
struct content; /* of one inode */

/* Names are relative to `root`, which stays the caller's. */
struct contents *contents_new(int root, struct arena *a);
void contents_free(struct contents *c); /* accepts NULL; waits for threads */

/* Does reading a file of this file system (f_type) tell what the file contains? Not so for those
 * that make it up (procfs, sysfs), where reading may even act. */
bool contents_are_real(uint64_t fs_magic);

/* The inode with this state, a regular file, that is at `name` now. */
struct content *content_of(struct contents *c, const char *name, const struct stat *st);
/* A number for each, from 1 to contents_count(). */
uint32_t content_number(const struct content *o);
uint32_t contents_count(const struct contents *c);

/* What the caller notes of it: bits that are added up. */
void content_mark(struct content *o, unsigned int bits);
unsigned int content_marks(const struct content *o);

/* Its build id: the number of words; 0 if it has none or can't be read. */
size_t content_build_id(struct contents *c, struct content *o, const uint32_t **ret);
/* It is known from elsewhere: `len` bytes, at most 4 * BUILD_ID_WORDS. */
void content_set_build_id(struct content *o, const void *id, size_t len);
bool content_knows_build_id(const struct content *o);

/* Begins to sum the first `size` bytes. */
struct sum *content_sum(struct contents *c, struct content *o, const struct sum_spec *spec,
			uint64_t size);
/* Until all sums are there. */
void contents_wait(struct contents *c);
/* After contents_wait: 0, or why it couldn't be read (negative errno). */
int sum_result(const struct sum *s, uint32_t *ret);

/* A new descriptor for reading; negative errno, -ESTALE if the name leads elsewhere by now. */
MUST_USE int content_open(const struct contents *c, const struct content *o);
