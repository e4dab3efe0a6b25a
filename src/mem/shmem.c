/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory objects: files on tmpfs without a name that lasts (memfd, MAP_SHARED |
 * MAP_ANONYMOUS). SEEK_DATA tells which pages exist; that is all there is to see. Pages that
 * exist but hold zeroes are left out.
 *
 * What was written can't be seen by page tables (descriptors write, too, and others than the tree),
 * so that an incremental dump reads all and compares it with the parent images.
 */
#include "mem/shmem.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/pool.h"
#include "image/pages.h"
#include "mem/common.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE	    4096u
#define CHUNK_LEN   (512u * 1024)
#define CHUNK_PAGES (CHUNK_LEN / PAGE)
#define CHUNKS	    4
/* From this size on, several threads copy: one of them moves about 1 GiB a second. */
#define BIG_OBJECT (UINT64_C(16) << 20)

/* ------------------------------------------------------------------- dump */

struct shmem_dump {
	int fd;
	uint64_t shmid, size;
	const struct page_map *parent; /* pages that are equal there are left to it; or NULL */
	struct pagemap_writer *w;
	int pages_fd;
	struct mem_stats *stats;
	uint64_t start, end; /* what is left of the present range with data */
	struct pool *pool;   /* NULL: little to do */
	struct chunk *chunks;
	size_t nchunks;
};

enum page_kind { KIND_ZERO, KIND_PARENT, KIND_DATA };

/* A stretch of the object on its way through a buffer. */
struct chunk {
	struct shmem_dump *d;
	uint64_t at, len;
	size_t npages; /* read */
	uint64_t off;  /* in the pages file, of the first page that goes there */
	size_t nruns;  /* of pages that go there */
	struct iovec runs[CHUNK_PAGES / 2 + 1];
	uint8_t kinds[CHUNK_PAGES];
	uint8_t buf[CHUNK_LEN];
};

static int fail(const struct shmem_dump *d, int code, const char *what, struct err *err)
{
	return err_sys(err, code, "shared memory object %" PRIu64 ": %s", d->shmid, what);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* *piece: where the search begins, and ends. */
static bool equals_parent(const struct page_map *m, size_t *piece, uint64_t at, const uint8_t *page)
{
	const struct page_piece *p;

	while (*piece < m->n && m->pieces[*piece].vaddr + m->pieces[*piece].npages * PAGE <= at)
		++*piece;
	p = *piece < m->n ? &m->pieces[*piece] : NULL;
	return p && p->vaddr <= at && memcmp(p->src + (at - p->vaddr), page, PAGE) == 0;
}

/* What was looked at of the parent's mapped images isn't our memory any more. */
static void forget_parent(const struct page_map *m, uint64_t start, uint64_t end)
{
	for (size_t i = page_map_find(m, start); i < m->n && m->pieces[i].vaddr < end; i++) {
		const struct page_piece *p = &m->pieces[i];
		uint64_t from = MAX(start, p->vaddr), to = MIN(end, p->vaddr + p->npages * PAGE);

		(void)madvise((void *)(p->src + (from - p->vaddr)), to - from, MADV_DONTNEED);
	}
}

static void classify_pages(struct chunk *c)
{
	const struct page_map *m = c->d->parent;
	size_t piece = m ? page_map_find(m, c->at) : 0;

	for (size_t i = 0; i < c->npages; i++) {
		const uint8_t *page = c->buf + i * PAGE;

		if (is_zero(page))
			c->kinds[i] = KIND_ZERO;
		else if (m && equals_parent(m, &piece, c->at + i * PAGE, page))
			c->kinds[i] = KIND_PARENT;
		else
			c->kinds[i] = KIND_DATA;
	}
	if (m)
		forget_parent(m, c->at, c->at + c->npages * PAGE);
}

/* In any thread. The object may have become smaller since: what is there counts. */
static int read_chunk(void *arg, struct err *err)
{
	struct chunk *c = arg;
	uint64_t got = 0;

	while (got < c->len) {
		ssize_t n = pread(c->d->fd, c->buf + got, c->len - got, (off_t)(c->at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(c->d, -errno, "reading", err);
		if (n == 0)
			break;
		got += (uint64_t)n;
	}
	c->npages = (got + PAGE - 1) / PAGE;
	memset(c->buf + got, 0, c->npages * PAGE - got);
	classify_pages(c);
	return 0;
}

/* Chunks in order: this fixes the places of their pages. */
static int add_run(struct chunk *c, size_t first, size_t last, struct err *err)
{
	static const uint32_t flags[] = {[KIND_PARENT] = PE_PARENT, [KIND_DATA] = PE_PRESENT};
	const enum page_kind kind = c->kinds[first];
	const struct page_run run = {
		.vaddr = c->at + first * PAGE, .npages = last - first, .flags = flags[kind]};
	uint64_t off;

	if (kind == KIND_ZERO)
		return 0;
	TRY(pagemap_add(c->d->w, &run, &off, err));
	if (kind == KIND_PARENT) {
		c->d->stats->shpages_skipped_parent += run.npages;
		return 0;
	}
	if (!c->nruns)
		c->off = off;
	c->runs[c->nruns++] = (struct iovec){c->buf + first * PAGE, run.npages * PAGE};
	return 0;
}

static int add_chunk(struct chunk *c, struct err *err)
{
	c->nruns = 0;
	c->d->stats->shpages_scanned += c->npages;
	for (size_t first = 0, i = 1; first < c->npages; first = i++) {
		while (i < c->npages && c->kinds[i] == c->kinds[first])
			i++;
		TRY(add_run(c, first, i, err));
	}
	if (!c->nruns || c->d->pages_fd >= 0)
		return 0;
	c->d->pages_fd = pagemap_pages_fd(c->d->w, err);
	return MIN(c->d->pages_fd, 0);
}

/* In any thread: present pages of a chunk lie side by side in the file. */
static int write_chunk(void *arg, struct err *err)
{
	struct chunk *c = arg;
	uint64_t off = c->off;

	for (size_t i = 0; i < c->nruns; i++) {
		int r = io_pwrite_full(c->d->pages_fd, c->runs[i].iov_base, c->runs[i].iov_len,
				       off);

		if (r < 0)
			return fail(c->d, r, "writing pages", err);
		off += c->runs[i].iov_len;
	}
	if (c->nruns)
		pagemap_wrote(c->d->w, c->off, off - c->off);
	return 0;
}

static int for_chunks(struct shmem_dump *d, size_t n, int (*fn)(void *, struct err *),
		      struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (d->pool)
			pool_add(d->pool, fn, &d->chunks[i]);
		else
			TRY(fn(&d->chunks[i], err));
	}
	return d->pool ? pool_wait(d->pool, err) : 0;
}

/* The next range with data at or behind `at`; objects without SEEK_DATA are data altogether. */
static int next_data(struct shmem_dump *d, uint64_t at)
{
	off_t from = lseek(d->fd, (off_t)at, SEEK_DATA), to;

	if (from < 0 && errno == ENXIO)
		return 0;
	if (from < 0 && errno != EINVAL && errno != ESPIPE)
		return -errno;
	to = from < 0 ? -1 : lseek(d->fd, from, SEEK_HOLE);
	d->start = from < 0 ? at : (uint64_t)from & ~(uint64_t)(PAGE - 1);
	d->end = to < 0 ? d->size : MIN((uint64_t)to, d->size);
	return d->start < d->end;
}

/* 1 and the next chunk; 0 at the end. */
static int next_chunk(struct shmem_dump *d, struct chunk *c)
{
	if (d->start >= d->end) {
		int r = next_data(d, d->end);

		if (r <= 0)
			return r;
	}
	c->d = d;
	c->at = d->start;
	c->len = MIN(d->end - d->start, (uint64_t)CHUNK_LEN);
	d->start += c->len;
	return 1;
}

static int dump_chunks(struct shmem_dump *d, struct err *err)
{
	int r;

	do {
		size_t n = 0;

		while (n < d->nchunks && (r = next_chunk(d, &d->chunks[n])) > 0)
			n++;
		if (r < 0)
			return fail(d, r, "looking for data", err);
		TRY(for_chunks(d, n, read_chunk, err));
		for (size_t i = 0; i < n; i++)
			TRY(add_chunk(&d->chunks[i], err));
		TRY(for_chunks(d, n, write_chunk, err));
	} while (r > 0);
	return 0;
}

static int dump_object(struct shmem_dump *d, struct err *err)
{
	/* The descriptor may share its position with the program's. */
	off_t pos = lseek(d->fd, 0, SEEK_CUR);
	bool big = d->size >= BIG_OBJECT;
	int ret;

	d->nchunks = big ? CHUNKS : 1;
	d->chunks = xcalloc(d->nchunks, sizeof(*d->chunks));
	d->pool = big ? pool_new(0) : NULL;
	ret = dump_chunks(d, err);
	pool_free(d->pool);
	free(d->chunks);
	if (pos >= 0)
		(void)lseek(d->fd, pos, SEEK_SET); /* a position that was valid before */
	return ret;
}

int shmem_dump(const struct img_dir *dir, int fd, uint64_t shmid, uint64_t size,
	       struct page_store *parent, struct mem_stats *stats, struct err *err)
{
	struct shmem_dump d = {
		.fd = fd, .shmid = shmid, .size = size, .stats = stats, .pages_fd = -EBADF};

	if (!size)
		return 0;
	if (parent)
		TRY(page_store_map(parent, IMG_PAGEMAP_SHMEM, shmid, /* optional= */ true,
				   &d.parent, err));
	if (!stats->next_pages_id)
		stats->next_pages_id = 1;
	TRY(pagemap_create(dir, IMG_PAGEMAP_SHMEM, shmid, stats->next_pages_id++, &d.w, err));
	if (dump_object(&d, err) < 0) {
		pagemap_abort(d.w);
		return err->code;
	}
	stats->shpages_written += pagemap_pages_written(d.w);
	return pagemap_close(d.w, err);
}

/* ---------------------------------------------------------------- restore */

/*
 * Huge page objects can't be written, only mapped, whole pages of theirs. Without MAP_NORESERVE, so
 * that it is here that it shows if there aren't enough, not by a SIGBUS.
 */
static int write_mapped(int fd, const uint8_t *from, uint64_t len, uint64_t at)
{
	uint64_t unit, start, end;
	struct stat st;
	uint8_t *to;

	if (fstat(fd, &st) < 0)
		return -errno;
	unit = (uint64_t)st.st_blksize;
	start = at / unit * unit;
	end = (at + len + unit - 1) / unit * unit;
	to = mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (to == MAP_FAILED)
		return -errno;
	memcpy(to + (at - start), from, len);
	munmap(to, end - start);
	return 0;
}

static int write_at(int fd, const uint8_t *from, uint64_t len, uint64_t at)
{
	int r = io_pwrite_full(fd, from, len, at);

	return r == -EINVAL ? write_mapped(fd, from, len, at) : r;
}

static int fill_failed(uint64_t shmid, int code, struct err *err)
{
	err_sys(err, code, "filling shared memory object %" PRIu64, shmid);
	if (code == -ENOMEM)
		err_hint(err, "reserve huge pages, if it is made of them: vm.nr_hugepages");
	return err->code;
}

static int fill(const struct page_map *p, int fd, uint64_t shmid, uint64_t size, struct err *err)
{
	/* The last page of an object may be a partial one. */
	uint64_t limit = (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	for (size_t i = 0; i < p->n; i++) {
		const struct page_piece *piece = &p->pieces[i];
		uint64_t end = piece->vaddr + piece->npages * PAGE;
		int r;

		if (end > limit)
			return err_input(err,
					 "%s: pages up to %" PRIx64 " of an object of %" PRIu64
					 " bytes",
					 p->name, end, size);
		r = write_at(fd, piece->src, MIN(end, size) - piece->vaddr, piece->vaddr);
		if (r < 0)
			return fill_failed(shmid, r, err);
	}
	return 0;
}

int shmem_fill(struct page_store *store, int fd, uint64_t shmid, uint64_t size, struct err *err)
{
	const struct page_map *p;

	TRY(page_store_map(store, IMG_PAGEMAP_SHMEM, shmid, /* optional= */ true, &p, err));
	return p ? fill(p, fd, shmid, size, err) : 0;
}

/* The same thing under another name: maps shows "/memfd:" instead of "/dev/zero". */
static int create_memfd(uint64_t size, uint32_t hugetlb_flag, struct err *err)
{
	auto_close int fd = memfd_create(hugetlb_flag ? "anon_hugepage" : "dev-zero",
					 MFD_CLOEXEC | hugetlb_flag);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return err_sys(err, -errno, "shared memory of %" PRIu64 " bytes", size);
	log_debug("anonymous shared memory is made as a memfd: /proc/self/map_files can't be used");
	return TAKE_FD(fd);
}

/*
 * There is no call that makes such an object and gives a descriptor: it is mapped, and opened
 * through /proc/self/map_files (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the first user
 * namespace).
 */
int shmem_create_anon(uint64_t size, uint32_t hugetlb_flag, struct err *err)
{
	const uint32_t sizes = (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT;
	uint32_t huge = hugetlb_flag ? MAP_HUGETLB | (hugetlb_flag & sizes) : 0;
	uint64_t len = (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	char path[80];
	void *p;
	int fd;

	if (!len || len > INT64_MAX)
		return err_input(err, "shared memory of %" PRIu64 " bytes", size);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | (int)huge, -1, 0);
	if (p == MAP_FAILED)
		return err_sys(err, -errno, "shared memory of %" PRIu64 " bytes", size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + len);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fd = errno == EPERM ? create_memfd(len, hugetlb_flag, err)
				    : err_sys(err, -errno, "open %s", path);
	munmap(p, len);
	return fd;
}

/* ------------------------------------------------------- objects by shmid */

void shm_objects_done(struct shm_objects *s)
{
	vec_foreach (o, &s->list)
		fd_close(o->fd);
	vec_done(&s->list);
}

/* The image doesn't say how big an object is: as big as the furthest of its mappings. */
static int grow(struct shm_object *o, uint64_t size, struct err *err)
{
	if (size <= o->size)
		return 0;
	if (ftruncate(o->fd, (off_t)size) < 0)
		return err_sys(err, -errno, "growing shared memory object %" PRIu64, o->shmid);
	o->size = size;
	return 0;
}

/* Every page in the pagemap is inside the object, whoever maps that part of it. */
static int content_size(struct page_store *store, uint64_t shmid, uint64_t *ret, struct err *err)
{
	const struct page_map *p;

	TRY(page_store_map(store, IMG_PAGEMAP_SHMEM, shmid, /* optional= */ true, &p, err));
	*ret = 0;
	if (p && p->n)
		*ret = p->pieces[p->n - 1].vaddr + p->pieces[p->n - 1].npages * PAGE;
	return 0;
}

int shm_object_open(struct shm_objects *s, struct page_store *store, uint64_t shmid, uint64_t size,
		    struct err *err)
{
	struct shm_object o = {.shmid = shmid};
	auto_close int fd = -EBADF;

	vec_foreach (it, &s->list) {
		if (it->shmid != shmid)
			continue;
		TRY(grow(it, size, err));
		return it->fd;
	}
	TRY(content_size(store, shmid, &o.size, err));
	o.size = MAX(o.size, size);
	fd = shmem_create_anon(o.size, 0, err);
	TRY(fd);
	TRY(shmem_fill(store, fd, shmid, o.size, err));
	o.fd = TAKE_FD(fd);
	*vec_push(&s->list) = o;
	return o.fd;
}
