/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_fadvise(WILLNEED) only starts reading, but of a long range it takes no more than the device
 * reads in one go (force_page_cache_ra); so it is asked for in small steps. It waits when too much
 * is under way, which is why a thread does this.
 *
 * Pages files of the directory itself are read as they lie: all of their pages are in use. Of the
 * parents' files only what is, and only then known.
 */
#include "image/readahead.h"

#include "base/auto.h"
#include "base/parse.h"
#include "base/vec.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE UINT64_C(4096)
#define STEP UINT64_C(131072)

struct map_job {
	const struct readahead *r;
	const struct page_map *map;
};

struct readahead {
	struct pool *pool;
	int dir;
	VEC(struct map_job *) jobs;
	atomic_bool end;
};

typedef VEC(unsigned int) number_vec;

static int by_number(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return (x > y) - (x < y);
}

static void list_files(int dirfd, number_vec *ret)
{
	auto_closedir DIR *dir = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		const char *p = str_after(e->d_name, "pages-");
		uint64_t n;

		if (p && scan_u64(&p, 10, &n) && !strcmp(p, ".img") && n <= UINT32_MAX)
			*vec_push(ret) = (unsigned int)n;
	}
	if (ret->len)
		qsort(ret->data, ret->len, sizeof(*ret->data), by_number);
}

static void read_file(const struct readahead *r, const char *name)
{
	auto_close int fd = openat(r->dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t size;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return;
	size = (uint64_t)st.st_size;
	/* Mostly it has just been written: nothing to do, and asking page by page isn't for free.
	 */
	if (sys_cached_pages(fd, 0, size) == (int64_t)((size + PAGE - 1) / PAGE))
		return;
	for (uint64_t at = 0; at < size && !r->end; at += STEP)
		(void)posix_fadvise(fd, (off_t)at, (off_t)STEP, POSIX_FADV_WILLNEED);
}

static int read_files(void *arg, struct err *err)
{
	const struct readahead *r = arg;
	number_vec all = {0};

	(void)err;
	list_files(r->dir, &all);
	vec_foreach (n, &all) {
		char name[IMG_NAME_MAX];

		snprintf(name, sizeof(name), "pages-%u.img", *n);
		if (!r->end)
			read_file(r, name);
	}
	vec_done(&all);
	return 0;
}

static int read_map(void *arg, struct err *err)
{
	const struct map_job *job = arg;
	const struct page_map *m = job->map;

	(void)err;
	for (size_t i = 0; i < m->n && !job->r->end; i++) {
		uintptr_t start = (uintptr_t)m->pieces[i].src & ~(uintptr_t)(PAGE - 1);
		uint64_t len = m->pieces[i].npages * PAGE;

		for (uint64_t at = 0; at < len && !job->r->end; at += STEP)
			(void)madvise((void *)(start + at), MIN(len - at, STEP), MADV_WILLNEED);
	}
	return 0;
}

struct readahead *readahead_new(const struct img_dir *dir)
{
	struct readahead *r = xcalloc(1, sizeof(*r));

	r->pool = pool_new(1);
	r->dir = dir->fd;
	pool_add(r->pool, read_files, r);
	return r;
}

void readahead_map(struct readahead *r, const struct page_map *m)
{
	struct map_job *job = xcalloc(1, sizeof(*job));

	*job = (struct map_job){r, m};
	*vec_push(&r->jobs) = job;
	pool_add(r->pool, read_map, job);
}

void readahead_free(struct readahead *r)
{
	if (!r)
		return;
	r->end = true;
	pool_free(r->pool);
	vec_foreach (job, &r->jobs)
		free(*job);
	vec_done(&r->jobs);
	free(r);
}
