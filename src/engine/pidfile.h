/* SPDX-License-Identifier: Apache-2.0 */
/* --pidfile: the decimal pid without newline, mode 0600, in the work directory. */
#pragma once

#include "image/image.h"

#include <sys/types.h>

/* O_EXCL: an existing file is an error, so that two restores can't take each other's file. */
MUST_USE int pidfile_write(const struct img_dir *dir, const char *path, pid_t pid, struct err *err);
/* Takes it away again after a failure that comes later. */
void pidfile_remove(const struct img_dir *dir, const char *path);
