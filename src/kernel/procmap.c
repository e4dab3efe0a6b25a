/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/procmap.h"

#include "kernel/uapi/procmap.h"

#include <errno.h>

int procmap_build_id(int maps, uint64_t addr, uint8_t id[PROCMAP_BUILD_ID_MAX])
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_addr = addr,
		.build_id_size = PROCMAP_BUILD_ID_MAX,
		.build_id_addr = (uint64_t)(uintptr_t)id,
	};

	if (ioctl(maps, PROCMAP_QUERY, &q) < 0)
		return -errno;
	return q.build_id_size <= PROCMAP_BUILD_ID_MAX ? (int)q.build_id_size : -EOVERFLOW;
}
