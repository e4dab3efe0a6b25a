/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who writes pages tells us of ranges; neighbours are merged, so that the list of what is left to
 * do stays short whatever the size. The thread takes a chunk at a time and maps it: that is quicker
 * than to read it into a buffer, and what is mapped stays little. Whoever would have to wait for
 * the thread (too many files or ranges behind, the end of the dump) does chunks himself instead;
 * that is also what happens where no thread can be had.
 *
 * Written with O_DIRECT, pages aren't in the cache and would have to be read again: who does that
 * makes their sums himself (page_sums_put).
 */
#include "image/page_sums.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/vec.h"
#include "image/kinds.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since 5.14 */
#endif

#define PAGE	    4096u
#define CHUNK_PAGES 256u
#define CHUNK	    (CHUNK_PAGES * PAGE)
#define BUF_LEN	    (64u * 1024)
#define RANGES_MAX  16384 /* of all files */
#define FILES_MAX   16	  /* ended, but not finished: each holds two descriptors */
#define STACK_LEN   (256u * 1024)

struct sum_range {
	uint64_t off, len;
};

struct page_sums_file {
	struct page_sums *all;
	int dirfd; /* the images directory's, not ours */
	uint32_t id;
	int pages_fd, fd; /* fd: of the side file, from the first chunk on */
	VEC(struct sum_range) todo;
	size_t first;	     /* of todo */
	uint64_t pages_done; /* not counting chunks in work */
	uint64_t size;
	unsigned int in_work; /* chunks */
	bool ended, dropped;
};

/* All of it under the lock, but what a chunk's worker reads of a file. */
struct page_sums {
	struct img_sums *sums;
	pthread_mutex_t lock;
	pthread_cond_t more, less;
	pthread_t thread;
	bool has_thread, tried, stop;
	VEC(struct page_sums_file *) files;
	size_t nranges, nended;
	struct err err; /* the first failure; from then on nothing is done any more */
};

struct chunk {
	struct page_sums_file *f;
	struct sum_range range;
};

/* ----------------------------------------------------------- one chunk */

uint32_t page_sum(const void *page)
{
	return crc32c(0, page, PAGE);
}

static void names_of(uint32_t id, char pages[IMG_NAME_MAX], char sums[IMG_NAME_MAX])
{
	snprintf(pages, IMG_NAME_MAX, "pages-%" PRIu32 ".img", id);
	snprintf(sums, IMG_NAME_MAX, "sums-%" PRIu32 ".img", id);
}

static void sum_pages(const uint8_t *pages, size_t n, uint32_t *sums)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = htole32(page_sum(pages + i * PAGE));
}

/* False where it can't be mapped, or not be read that way: no page may be missing on access. */
static bool sum_mapped(const struct chunk *c, uint32_t *sums)
{
	uint8_t *map = mmap(NULL, c->range.len, PROT_READ, MAP_SHARED, c->f->pages_fd,
			    (off_t)c->range.off);
	bool good;

	if (map == MAP_FAILED)
		return false;
	good = madvise(map, c->range.len, MADV_POPULATE_READ) == 0;
	if (good)
		sum_pages(map, c->range.len / PAGE, sums);
	munmap(map, c->range.len);
	return good;
}

static int sum_read(const struct chunk *c, uint32_t *sums)
{
	uint8_t *buf = aligned_alloc(PAGE, BUF_LEN); /* aligned: the file may be open O_DIRECT */
	int r = buf ? 0 : -ENOMEM;

	for (uint64_t at = 0; r == 0 && at < c->range.len; at += BUF_LEN) {
		size_t n = (size_t)MIN(c->range.len - at, (uint64_t)BUF_LEN);

		r = io_pread_full(c->f->pages_fd, buf, n, c->range.off + at);
		if (r == 0)
			sum_pages(buf, n / PAGE, sums + at / PAGE);
	}
	free(buf);
	return r;
}

static int do_chunk(const struct chunk *c, struct err *err)
{
	char pages[IMG_NAME_MAX], sums_name[IMG_NAME_MAX];
	uint32_t sums[CHUNK_PAGES];
	int r;

	names_of(c->f->id, pages, sums_name);
	if (!sum_mapped(c, sums)) {
		r = sum_read(c, sums);
		if (r < 0)
			return err_sys(err, r, "%s: read it for its checksums", pages);
	}
	r = io_pwrite_full(c->f->fd, sums, c->range.len / PAGE * sizeof(*sums),
			   c->range.off / PAGE * sizeof(*sums));
	return r < 0 ? err_sys(err, r, "%s: write", sums_name) : 0;
}

/* ---------------------------------------------------------- end of a file */

static int finish_file(const struct page_sums_file *f, struct err *err)
{
	struct img_sum sum = {.size = f->size / PAGE * sizeof(uint32_t), .has_crc = true};
	char pages[IMG_NAME_MAX];
	int r;

	names_of(f->id, pages, sum.name);
	if (f->pages_done != f->size / PAGE)
		return err_bug(err, "%s: %" PRIu64 " of %" PRIu64 " pages have a checksum", pages,
			       f->pages_done, f->size / PAGE);
	if (!sum.size)
		return 0;
	r = img_sums_of_fd(f->fd, sum.size, &sum.crc);
	if (r < 0)
		return err_sys(err, r, "%s: read it back", sum.name);
	img_sums_note(f->all->sums, &sum);
	return 0;
}

static void free_file(struct page_sums_file *f)
{
	fd_close(f->pages_fd);
	fd_close(f->fd);
	vec_done(&f->todo);
	free(f);
}

/* ---------------------------------------------------------------- the work */

static void note_failure(struct page_sums *p, const struct err *err)
{
	if (!p->err.code)
		p->err = *err;
}

static void forget_todo(struct page_sums_file *f)
{
	f->all->nranges -= f->todo.len - f->first;
	f->todo.len = f->first = 0;
}

static bool has_todo(const struct page_sums_file *f)
{
	return f->first < f->todo.len;
}

/* Takes a file out of the list if nothing is to come for it and nothing in work. */
static bool take_finished(struct page_sums *p, struct page_sums_file **ret)
{
	for (size_t i = 0; i < p->files.len; i++) {
		struct page_sums_file *f = p->files.data[i];

		if (!(f->ended || f->dropped) || f->in_work || has_todo(f))
			continue;
		p->files.data[i] = p->files.data[--p->files.len];
		*ret = f;
		return true;
	}
	return false;
}

/* The oldest file first: the sooner it is done with. */
static bool take_chunk(struct page_sums *p, struct chunk *ret)
{
	for (size_t i = 0; i < p->files.len; i++) {
		struct page_sums_file *f = p->files.data[i];
		struct sum_range *r;

		if (!has_todo(f))
			continue;
		r = &f->todo.data[f->first];
		*ret = (struct chunk){f, {r->off, MIN(r->len, (uint64_t)CHUNK)}};
		r->off += ret->range.len;
		r->len -= ret->range.len;
		if (!r->len) {
			p->nranges--;
			if (++f->first == f->todo.len)
				f->first = f->todo.len = 0;
		}
		return true;
	}
	return false;
}

static int open_side_file(struct page_sums_file *f, struct err *err)
{
	char pages[IMG_NAME_MAX], sums[IMG_NAME_MAX];

	if (f->fd >= 0)
		return 0;
	names_of(f->id, pages, sums);
	f->fd = img_create_file(f->dirfd, sums, err);
	return f->fd < 0 ? f->fd : 0;
}

static void work_on(struct page_sums *p, struct chunk *c)
{
	struct err err = ERR_INIT;

	c->f->in_work++;
	/* Under the lock: two workers may meet at a new file. */
	if (p->err.code || open_side_file(c->f, &err) < 0) {
		note_failure(p, &err);
	} else {
		pthread_mutex_unlock(&p->lock);
		(void)do_chunk(c, &err);
		pthread_mutex_lock(&p->lock);
		if (err.code)
			note_failure(p, &err);
		else
			c->f->pages_done += c->range.len / PAGE;
	}
	c->f->in_work--;
}

/* One piece of work, with the lock held, which is given up meanwhile; false if there is none. */
static bool work(struct page_sums *p)
{
	struct page_sums_file *f;
	struct chunk c;

	if (take_finished(p, &f)) {
		struct err err = ERR_INIT;
		bool good = f->ended && !f->dropped && !p->err.code;

		pthread_mutex_unlock(&p->lock);
		if (good)
			(void)finish_file(f, &err);
		pthread_mutex_lock(&p->lock);
		if (err.code)
			note_failure(p, &err);
		p->nended -= f->ended;
		free_file(f);
	} else if (take_chunk(p, &c)) {
		work_on(p, &c);
	} else {
		return false;
	}
	pthread_cond_broadcast(&p->less);
	return true;
}

static void *run_thread(void *arg)
{
	struct page_sums *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop)
		if (!work(p))
			pthread_cond_wait(&p->more, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are for the thread that waits for targets. */
static void start_thread(struct page_sums *p)
{
	pthread_attr_t attr;
	sigset_t all, old;

	p->tried = true;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_LEN);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	p->has_thread = pthread_create(&p->thread, &attr, run_thread, p) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

/* ------------------------------------------------------------ for writers */

static struct page_sums *page_sums_of(struct img_sums *sums)
{
	/* Several threads may begin their first file at once. */
	static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
	struct page_sums **p = img_sums_pages(sums);

	pthread_mutex_lock(&first);
	if (!*p) {
		*p = xcalloc(1, sizeof(**p));
		(*p)->sums = sums;
		pthread_mutex_init(&(*p)->lock, NULL);
		pthread_cond_init(&(*p)->more, NULL);
		pthread_cond_init(&(*p)->less, NULL);
	}
	pthread_mutex_unlock(&first);
	return *p;
}

struct page_sums_file *page_sums_begin(const struct img_dir *dir, uint32_t pages_id, int fd)
{
	struct page_sums_file *f;
	struct err err = ERR_INIT;

	if (!dir->sums)
		return NULL;
	f = xcalloc(1, sizeof(*f));
	f->all = page_sums_of(dir->sums);
	f->dirfd = dir->fd;
	f->id = pages_id;
	f->fd = -EBADF;
	f->pages_fd = fd_dup_above(fd, 3);
	pthread_mutex_lock(&f->all->lock);
	if (f->pages_fd < 0) {
		err_sys(&err, f->pages_fd, "duplicate a descriptor");
		note_failure(f->all, &err);
	}
	*vec_push(&f->all->files) = f;
	pthread_mutex_unlock(&f->all->lock);
	return f;
}

void page_sums_add(struct page_sums_file *f, uint64_t off, uint64_t len)
{
	struct page_sums *p;
	struct sum_range *last;

	if (!f || !len)
		return;
	p = f->all;
	pthread_mutex_lock(&p->lock);
	last = has_todo(f) ? &f->todo.data[f->todo.len - 1] : NULL;
	if (last && last->off + last->len == off) {
		last->len += len;
	} else {
		*vec_push(&f->todo) = (struct sum_range){off, len};
		p->nranges++;
	}
	if (!p->tried)
		start_thread(p);
	pthread_cond_signal(&p->more);
	while (p->nranges > RANGES_MAX && work(p))
		;
	pthread_mutex_unlock(&p->lock);
}

static int put_sums(int fd, uint64_t off, const uint32_t *sums, size_t n)
{
	uint32_t disk[256];
	int r = 0;

	for (size_t i = 0, k; i < n && r == 0; i += k) {
		for (k = 0; k < ARRAY_SIZE(disk) && i + k < n; k++)
			disk[k] = htole32(sums[i + k]);
		r = io_pwrite_full(fd, disk, k * sizeof(*disk), (off / PAGE + i) * sizeof(*disk));
	}
	return r;
}

void page_sums_put(struct page_sums_file *f, uint64_t off, const uint32_t *sums, size_t n)
{
	struct err err = ERR_INIT;
	struct page_sums *p;
	int r;

	if (!f || !n)
		return;
	p = f->all;
	pthread_mutex_lock(&p->lock);
	r = p->err.code ? 0 : open_side_file(f, &err);
	if (r == 0 && !p->err.code)
		r = put_sums(f->fd, off, sums, n);
	if (r < 0 && !err.code)
		err_sys(&err, r, "sums-%" PRIu32 ".img: write", f->id);
	if (err.code)
		note_failure(p, &err);
	else
		f->pages_done += n;
	pthread_mutex_unlock(&p->lock);
}

static void give_away(struct page_sums_file *f)
{
	struct page_sums *p = f->all;

	pthread_cond_signal(&p->more);
	while (p->nended > FILES_MAX && work(p))
		;
}

void page_sums_end(struct page_sums_file *f, uint64_t size)
{
	struct page_sums *p;

	if (!f)
		return;
	p = f->all;
	pthread_mutex_lock(&p->lock);
	f->ended = true;
	f->size = size;
	p->nended++;
	give_away(f);
	pthread_mutex_unlock(&p->lock);
}

void page_sums_drop(struct page_sums_file *f)
{
	struct page_sums *p;

	if (!f)
		return;
	p = f->all;
	pthread_mutex_lock(&p->lock);
	f->dropped = true;
	forget_todo(f);
	give_away(f);
	pthread_mutex_unlock(&p->lock);
}

int page_sums_wait(const struct img_dir *dir, struct err *err)
{
	struct page_sums *p = dir->sums ? *img_sums_pages(dir->sums) : NULL;
	int r;

	if (!p)
		return 0;
	pthread_mutex_lock(&p->lock);
	while (p->nended)
		if (!work(p) && p->nended)
			pthread_cond_wait(&p->less, &p->lock);
	r = p->err.code;
	if (r)
		*err = p->err;
	pthread_mutex_unlock(&p->lock);
	return r;
}

void page_sums_free(struct page_sums *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	if (p->has_thread)
		pthread_join(p->thread, NULL);
	vec_foreach (f, &p->files)
		free_file(*f);
	vec_done(&p->files);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->more);
	pthread_cond_destroy(&p->less);
	free(p);
}

/* ------------------------------------------------------------ for readers */

static int map_table(int fd, uint64_t npages, struct page_sums_table *ret)
{
	void *map = mmap(NULL, npages * sizeof(uint32_t), PROT_READ, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	*ret = (struct page_sums_table){map, npages};
	return 0;
}

static int damaged(const char *name, const char *how, struct err *err)
{
	err_input(err, "%s: %s since it was dumped", name, how);
	return err_hint(err, "copy the images again, whole, or take another dump; --no-verify "
			     "restores without comparing checksums");
}

int page_sums_open(const struct img_dir *dir, uint32_t pages_id, uint64_t npages,
		   struct page_sums_table *ret, struct err *err)
{
	char pages[IMG_NAME_MAX], name[IMG_NAME_MAX];
	const struct img_sum *sum;
	auto_close int fd = -EBADF;
	struct stat st;
	uint32_t crc;
	int r;

	*ret = (struct page_sums_table){0};
	names_of(pages_id, pages, name);
	sum = npages && img_sums_known(dir->sums) ? img_sums_find(dir->sums, name) : NULL;
	if (!sum)
		return 0;
	fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? damaged(name, "was removed", err)
				       : err_sys(err, -errno, "%s: open", name);
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s: stat", name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != sum->size)
		return damaged(name, "was cut off, or has grown", err);
	if (sum->size != npages * sizeof(uint32_t))
		return err_input(err, "%s: is for %" PRIu64 " pages, %s has %" PRIu64, name,
				 sum->size / sizeof(uint32_t), pages, npages);
	r = img_sums_of_fd(fd, sum->size, &crc);
	if (r == 0 && crc != sum->crc)
		return damaged(name, "has changed", err);
	if (r == 0)
		r = map_table(fd, npages, ret);
	return r < 0 ? err_sys(err, r, "%s: read", name) : 1;
}

void page_sums_close(struct page_sums_table *t)
{
	if (t->sums)
		munmap((void *)t->sums, t->npages * sizeof(uint32_t));
	*t = (struct page_sums_table){0};
}
