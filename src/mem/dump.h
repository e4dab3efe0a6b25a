/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of one process at a dump: its mappings, and its pages into pagemap-/pages- images.
 */
#pragma once

#include "image/image.h"
#include "mem/vma.h"
#include "remote/target.h"

/* What one dump counts: the memory part of stats-dump. Also hands out pages ids (from 1). */
struct mem_stats {
	uint32_t next_pages_id;
	uint64_t pages_scanned, pages_written, pages_lazy;
	uint64_t shpages_scanned, shpages_written;
	uint64_t write_us; /* time spent writing pages */
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
/*
 * Writes pagemap-VPID.img and its pages. The leader is entered; the target writes its own pages
 * (lent descriptor, remote pwritev); where that can't be, process_vm_readv or /proc/PID/mem
 * through a fixed buffer takes over by itself.
 */
MUST_USE int mem_write_pages(const struct img_dir *dir, struct target *t, const struct mem *m,
			     struct mem_stats *stats, struct err *err);
/* Scratch ranges are ours, not the program's: takes [start, start + len) out of the list. */
void mem_forget_range(struct mem *m, uint64_t start, uint64_t len);
void mem_done(struct mem *m);
