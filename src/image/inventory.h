/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inventory.img: what kind of images these are. It is written last: a directory without one holds
 * a dump that didn't end. Format facts: ../shared/formats/IMAGES.md section 4.1.
 */
#pragma once

#include "image/image.h"

/* protobuf-c's own name for it */
typedef struct TaskKobjIdsEntry TaskKobjIdsEntry;

/* An unfinished dump must not look like the finished one that was here before. */
MUST_USE int inventory_remove(const struct img_dir *dir, struct err *err);
/*
 * root_ids: those of torpor itself; namespaces with other ids were dumped. run_id: a UUID as text;
 * NULL or empty: a fresh one.
 */
MUST_USE int inventory_write(const struct img_dir *dir, TaskKobjIdsEntry *root_ids,
			     const char *run_id, struct err *err);

struct inventory {
	uint32_t root_time_ns_id, root_files_id;
	uint32_t ns_ids[8]; /* of the dumper: pid, net, ipc, uts, time, mnt, user, cgroup */
};
/* Refuses versions, pre-dump inventories and plugins that torpor doesn't know. */
MUST_USE int inventory_read(const struct img_dir *dir, struct arena *a, struct inventory *ret,
			    struct err *err);
