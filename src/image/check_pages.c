/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that no pagemap leads to: where a pagemap, or the process tree, is damaged, it can't be
 * told which pages it would have led to, and some of these may be damaged as well.
 */
#include "base/auto.h"
#include "base/io.h"
#include "image/check_each.h"
#include "image/page_sums.h"
#include "image/store_priv.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE 4096u

struct loose {
	const char *name;
	int fd;
	struct page_sums_table sums;
	uint8_t *led; /* a byte for each page: has somebody looked at it? */
	image_problem_fn *fn;
	void *arg;
};

static void mark_led(struct loose *l, struct page_store *store, uint32_t pages_id)
{
	auto_free struct store_range *ranges = NULL;
	size_t n = store ? store_ranges(store, &ranges) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct store_range *r = &ranges[i];
		uint64_t end = MIN(r->off / PAGE + r->len / PAGE, l->sums.npages);

		if (r->image->level || r->image->pm->pages_id != pages_id)
			continue;
		for (uint64_t page = r->off / PAGE; page < end; page++)
			l->led[page] = 1;
	}
}

/* Holes are what dedup left of pages that a later image has. */
static bool is_hole(int fd, uint64_t page)
{
	off_t data = lseek(fd, (off_t)(page * PAGE), SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= (page + 1) * PAGE;
}

/* A negative errno if it can't be read. */
static int is_wrong(const struct loose *l, uint64_t page)
{
	uint8_t bytes[PAGE];
	int r;

	if (l->led[page] || is_hole(l->fd, page))
		return false;
	r = io_pread_full(l->fd, bytes, PAGE, page * PAGE);
	return r < 0 ? r : page_sum(bytes) != le32toh(l->sums.sums[page]);
}

/* Of a file that is nothing but damage, so many places are named. */
#define PLACES_MAX 32

/* Pages that follow each other are one problem. */
static void compare(const struct loose *l)
{
	unsigned int places = 0;
	int before = 0;

	for (uint64_t page = 0; page < l->sums.npages; page++) {
		struct err err = ERR_INIT;
		int wrong = is_wrong(l, page);

		if (wrong < 0)
			err_sys(&err, wrong, "%s: read the pages at byte %" PRIu64, l->name,
				page * PAGE);
		else if (wrong && !before && places++ == PLACES_MAX)
			err_input(&err, "%s: more pages have changed since they were dumped",
				  l->name);
		else if (wrong && !before)
			err_input(&err,
				  "%s: the page at byte %" PRIu64
				  " has changed since it was dumped (no whole pagemap tells whose)",
				  l->name, page * PAGE);
		if (err.code)
			l->fn(l->arg, &err);
		if (wrong < 0 || places > PLACES_MAX)
			return;
		before = wrong;
	}
}

void check_loose_pages(const struct img_dir *dir, struct page_store *store, uint32_t pages_id,
		       const char *name, image_problem_fn *fn, void *arg)
{
	auto_close int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct loose l = {.name = name, .fd = fd, .fn = fn, .arg = arg};
	struct err err = ERR_INIT;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return; /* integrity.img tells of it */
	r = page_sums_open(dir, pages_id, (uint64_t)st.st_size / PAGE, &l.sums, &err);
	if (r < 0)
		fn(arg, &err);
	if (r <= 0)
		return;
	l.led = xcalloc(l.sums.npages, 1);
	mark_led(&l, store, pages_id);
	compare(&l);
	free(l.led);
	page_sums_close(&l.sums);
}
