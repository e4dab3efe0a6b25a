/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of a run: stats-dump and stats-restore in the work directory, and --display-stats. */
#pragma once

#include "image/image.h"

struct dump_stats {
	uint64_t freezing_us; /* until the whole tree stood still */
	uint64_t frozen_us;   /* from then until it was released */
	uint64_t memdump_us;
	uint64_t memwrite_us;
	uint64_t pages_scanned;
	uint64_t pages_skipped_parent;
	uint64_t pages_written;
	uint64_t pages_lazy;
	uint64_t shpages_scanned;
	uint64_t shpages_skipped_parent;
	uint64_t shpages_written;
};

struct restore_stats {
	uint64_t pages_compared;
	uint64_t pages_skipped_cow;
	uint64_t pages_restored;
	uint64_t forking_us;
	uint64_t restore_us;
};

/* Microseconds of the monotonic clock, to take differences of. */
uint64_t stats_now_us(void);

MUST_USE int stats_write_dump(const struct img_dir *dir, const struct dump_stats *s,
			      struct err *err);
MUST_USE int stats_write_restore(const struct img_dir *dir, const struct restore_stats *s,
				 struct err *err);

/* Print the block of --display-stats to stdout from the file that the run wrote. */
MUST_USE int stats_print_dump(const struct img_dir *dir, struct err *err);
MUST_USE int stats_print_restore(const struct img_dir *dir, struct err *err);
