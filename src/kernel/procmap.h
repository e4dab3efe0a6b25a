/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about one mapping of a process (PROCMAP_QUERY, Linux 6.11). */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define PROCMAP_BUILD_ID_MAX 20 /* the kernel doesn't look for longer ones */

/*
 * The build id of the ELF file that is mapped at `addr`; `maps`: /proc/PID/maps, open. Its length,
 * 0 if the file has none where the kernel looks (its first page); -ENOTTY on an older kernel, and
 * other negative errnos.
 */
MUST_USE int procmap_build_id(int maps, uint64_t addr, uint8_t id[PROCMAP_BUILD_ID_MAX]);
