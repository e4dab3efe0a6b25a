/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page cache takes bytes at the speed of memory until there are too many that aren't written
 * yet: halfway between vm.dirty_background_* and vm.dirty_* the kernel begins to hold writers up
 * (balance_dirty_pages: "freerun"), so that they copy every page and wait for the disk as well, and
 * for other people's pages. From there on it is quicker to give the disk the program's own pages.
 *
 * So this is asked before each batch, not once: a dump fills what room there is first.
 */
#include "mem/direct.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* "Dirty:            1234 kB" in bytes. */
static uint64_t field(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	uint64_t kib = 0;

	if (!p)
		return 0;
	p += strlen(name);
	p += strspn(p, " ");
	return scan_u64(&p, 10, &kib) ? kib * 1024 : 0;
}

static uint64_t setting(const char *path)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t value = 0;

	if (io_read_file(-1, path, &text, NULL) < 0)
		return 0;
	p = text;
	return scan_u64(&p, 10, &value) ? value : 0;
}

int cache_state_read(struct cache_state *ret)
{
	auto_free char *text = NULL;
	int r = io_read_file(-1, "/proc/meminfo", &text, NULL);

	if (r < 0)
		return r;
	*ret = (struct cache_state){
		.unwritten = field(text, "\nDirty:") + field(text, "\nWriteback:"),
		.dirtyable = field(text, "\nMemFree:") + field(text, "\nActive(file):") +
			     field(text, "\nInactive(file):"),
		.limit = setting("/proc/sys/vm/dirty_bytes"),
		.percent = setting("/proc/sys/vm/dirty_ratio"),
		.background = setting("/proc/sys/vm/dirty_background_bytes"),
		.background_percent = setting("/proc/sys/vm/dirty_background_ratio"),
	};
	return 0;
}

bool direct_pays(const struct cache_state *c, uint64_t bytes)
{
	uint64_t limit = c->limit ? c->limit : c->dirtyable / 100 * c->percent;
	uint64_t background = c->background ? c->background
					    : c->dirtyable / 100 * c->background_percent;

	if (background >= limit)
		background = limit / 2;
	return c->unwritten + bytes > (limit + background) / 2;
}

/* Others accept the flag and copy all the same (tmpfs), or have reasons of their own (networks). */
bool direct_is_possible(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
	       fs.f_type == BTRFS_SUPER_MAGIC;
}
