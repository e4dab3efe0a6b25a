/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sample image sets in tests/interop/samples, made by CRIU 4.2 on x86-64. Their pages files
 * aren't kept: a copy of a set gets files of the right sizes that are all holes.
 */
#pragma once

#include "image/image.h"

extern const char *const sample_sets[]; /* ends with NULL */

/* A private copy in a new directory; dir->fd and dir->work_fd are opened on it. Aborts if it can't.
 */
void sample_copy(const char *set, struct img_dir *dir);
void sample_remove(struct img_dir *dir);
/* An empty directory, to be removed in the same way. */
void sample_empty_dir(struct img_dir *dir);

/* Names of the files in it, sorted; *ret to be freed, with its strings. */
size_t sample_names(const struct img_dir *dir, char ***ret);
void sample_names_free(char **names, size_t n);

/* Whole files. */
uint8_t *sample_read(int dirfd, const char *name, size_t *ret_len); /* to be freed */
void sample_write(int dirfd, const char *name, const void *data, size_t len);
