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

/* How images hang together with those that they build on. */
struct inventory_chain {
	char run_id[37];	/* a UUID as text; "": none is recorded */
	char parent_run_id[37]; /* of those that `parent` leads to; "": unknown, or none */
	uint64_t uptime_us;	/* of the machine when they were begun; 0: unknown */
	bool pre_dump;		/* only memory */
	bool cow; /* PE_COW is used, here or in a parent: others can't read it right */
};

/*
 * root_ids: those of torpor itself; namespaces with other ids were dumped. With chain->cow the
 * version is one that readers refuse which don't know of it.
 */
MUST_USE int inventory_write(const struct img_dir *dir, TaskKobjIdsEntry *root_ids,
			     const struct inventory_chain *chain, struct err *err);
/* The other kind, which only the next dump reads. */
MUST_USE int inventory_write_pre_dump(const struct img_dir *dir,
				      const struct inventory_chain *chain, struct err *err);
/* Of any kind: 1, or 0 if there is none. Refuses what later versions of torpor may write. */
MUST_USE int inventory_read_chain(const struct img_dir *dir, struct inventory_chain *ret,
				  struct err *err);
/* A fresh UUID (version 4) as text. */
MUST_USE int inventory_make_run_id(char out[37], struct err *err);

struct inventory {
	uint32_t root_time_ns_id, root_files_id;
	uint32_t ns_ids[8]; /* of the dumper: pid, net, ipc, uts, time, mnt, user, cgroup */
};
/* Refuses versions, pre-dump inventories and plugins that torpor doesn't know. */
MUST_USE int inventory_read(const struct img_dir *dir, struct arena *a, struct inventory *ret,
			    struct err *err);
