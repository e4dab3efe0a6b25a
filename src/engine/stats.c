/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files' times are 32-bit microseconds: 71 minutes. What takes longer is written as that.
 */
#include "engine/stats.h"

#include "base/auto.h"
#include "image/schema/stats.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

uint64_t stats_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint32_t us32(uint64_t us)
{
	return (uint32_t)MIN(us, UINT32_MAX);
}

int stats_write_dump(const struct img_dir *dir, const struct dump_stats *s, struct err *err)
{
	DumpStatsEntry dump = DUMP_STATS_ENTRY__INIT;
	StatsEntry entry = STATS_ENTRY__INIT;

	dump.freezing_time = us32(s->freezing_us);
	dump.frozen_time = us32(s->frozen_us);
	dump.memdump_time = us32(s->memdump_us);
	dump.memwrite_time = us32(s->memwrite_us);
	dump.pages_scanned = s->pages_scanned;
	dump.pages_skipped_parent = s->pages_skipped_parent;
	dump.pages_written = s->pages_written;
	dump.pages_lazy = s->pages_lazy;
	dump.has_irmap_resolve = true;
	dump.has_shpages_scanned = true;
	dump.shpages_scanned = s->shpages_scanned;
	dump.has_shpages_skipped_parent = true;
	dump.shpages_skipped_parent = s->shpages_skipped_parent;
	dump.has_shpages_written = true;
	dump.shpages_written = s->shpages_written;
	entry.dump = &dump;
	return img_write_one(dir, IMG_STATS_DUMP, 0, &entry.base, err);
}

int stats_write_restore(const struct img_dir *dir, const struct restore_stats *s, struct err *err)
{
	RestoreStatsEntry restore = RESTORE_STATS_ENTRY__INIT;
	StatsEntry entry = STATS_ENTRY__INIT;

	restore.pages_compared = s->pages_compared;
	restore.pages_skipped_cow = s->pages_skipped_cow;
	restore.has_pages_restored = true;
	restore.pages_restored = s->pages_restored;
	restore.forking_time = us32(s->forking_us);
	restore.restore_time = us32(s->restore_us);
	entry.restore = &restore;
	return img_write_one(dir, IMG_STATS_RESTORE, 0, &entry.base, err);
}

static void print_time(const char *label, uint32_t us)
{
	printf("%s: %" PRIu32 " us\n", label, us);
}

static void print_count(const char *label, uint64_t n)
{
	printf("%s: %" PRIu64 " (0x%" PRIx64 ")\n", label, n, n);
}

static void print_dump(const DumpStatsEntry *s)
{
	printf("Displaying dump stats:\n");
	print_time("Freezing time", s->freezing_time);
	print_time("Frozen time", s->frozen_time);
	print_time("Memory dump time", s->memdump_time);
	print_time("Memory write time", s->memwrite_time);
	if (s->has_irmap_resolve)
		print_time("IRMAP resolve time", s->irmap_resolve);
	print_count("Memory pages scanned", s->pages_scanned);
	print_count("Memory pages skipped from parent", s->pages_skipped_parent);
	print_count("Memory pages written", s->pages_written);
	print_count("Lazy memory pages", s->pages_lazy);
}

static void print_restore(const RestoreStatsEntry *s)
{
	printf("Displaying restore stats:\n");
	print_count("Pages compared", s->pages_compared);
	print_count("Pages skipped COW", s->pages_skipped_cow);
	if (s->has_pages_restored)
		print_count("Pages restored", s->pages_restored);
	print_time("Restore time", s->restore_time);
	print_time("Forking time", s->forking_time);
}

static int print_stats(const struct img_dir *dir, enum img_kind kind, struct err *err)
{
	struct arena *arena = arena_new();
	StatsEntry *entry;
	int r = img_read_one(dir, kind, 0, arena, &entry, err);

	if (r >= 0 && entry->dump)
		print_dump(entry->dump);
	if (r >= 0 && entry->restore)
		print_restore(entry->restore);
	if (fflush(stdout) != 0 && r >= 0)
		r = err_sys(err, -errno, "write the statistics to stdout");
	arena_free(arena);
	return r;
}

int stats_print_dump(const struct img_dir *dir, struct err *err)
{
	return print_stats(dir, IMG_STATS_DUMP, err);
}

int stats_print_restore(const struct img_dir *dir, struct err *err)
{
	return print_stats(dir, IMG_STATS_RESTORE, err);
}
