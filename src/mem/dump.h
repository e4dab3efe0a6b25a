/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of one process at a dump: its mappings, and its pages into pagemap-/pages- images.
 */
#pragma once

#include "image/image.h"
#include "image/store.h"
#include "mem/track.h"
#include "mem/vma.h"
#include "remote/target.h"

/* What one dump counts: the memory part of stats-dump. Also hands out pages ids (from 1). */
struct mem_stats {
	uint32_t next_pages_id;
	uint64_t pages_scanned, pages_written, pages_lazy;
	uint64_t pages_skipped_parent;
	uint64_t shpages_scanned, shpages_written, shpages_skipped_parent;
	uint64_t direct_bytes;		  /* of pages, written past the page cache */
	uint64_t write_us;		  /* time spent writing pages */
	struct page_store *shared_parent; /* see shmem_dump */
};

struct mem {
	vma_vec vmas; /* all real ones ascending, then guards */
	uint64_t start_code, end_code, start_data, end_data, start_stack, start_brk, brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t *auxv;
	size_t nauxv; /* words */
	int dumpable;
	bool thp_disabled;
	uint32_t exe_file_id; /* set by the engine */
	bool allow_uprobes_seen;
	char *names; /* what vma.path points into */
};

/*
 * Reads and classifies all mappings from /proc (works unfrozen too: `check --tree`). Anonymous
 * shared memory is FILE_SHARED | MEMFD (IMAGES.md 6.3). Refuses what can't be dumped, naming the
 * range: io_uring rings, device mappings, userfaultfd ...
 */
MUST_USE int mem_collect(const struct target *t, struct mem *ret, struct err *err);
/* What only the process can say (brk, dumpable, THP). The leader is entered. Drops our scratch. */
MUST_USE int mem_query(struct target *t, struct mem *m, struct err *err);
/* Writes mm-VPID.img; file ids have been filled in by the engine. */
MUST_USE int mem_write_mm(const struct img_dir *dir, const struct target *t, const struct mem *m,
			  struct err *err);

/* One task whose pages are to be written. */
struct mem_task {
	struct target *target;
	const struct mem *mem;
	struct tracker *tracker; /* NULL: everything counts as written */
};

struct mem_dump_opts {
	const struct img_dir *dir;
	struct page_store *parent; /* what unwritten pages are left to; NULL: a full dump */
	bool cow;		   /* pages that several tasks share are written once (PE_COW) */
	bool restart;		   /* the trackers begin a new round */
	bool direct_always;	   /* O_DIRECT wherever it is possible, not only where it pays */
};

/*
 * Writes pagemap-VPID.img and the pages of all tasks, which stand still and are entered. Targets
 * write their own pages (lent descriptor, remote pwritev), several at a time; where that can't be,
 * process_vm_readv or /proc/PID/mem through a fixed buffer takes over by itself.
 * *ret_cow: PE_COW was used.
 */
MUST_USE int mem_write_tree(const struct mem_dump_opts *o, struct mem_task *tasks, size_t n,
			    struct mem_stats *stats, bool *ret_cow, struct err *err);
/* Scratch ranges are ours, not the program's: takes [start, start + len) out of the list. */
void mem_forget_range(struct mem *m, uint64_t start, uint64_t len);
void mem_done(struct mem *m);
