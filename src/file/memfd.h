/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory that only its mappings lead to: see mapping.c. */
#pragma once

#include "file/kind.h"

/*
 * The file id of a mapping of anonymous shared memory (or of a memfd that nobody has open), when
 * /proc/PID/map_files may not be followed. Its content is what is mapped of it, in all tasks.
 */
MUST_USE int memfd_dump_mapped(struct files *f, struct target *t, const struct vma *v,
			       uint32_t *ret_id, struct err *err);
