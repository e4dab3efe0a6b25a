/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory objects: files on tmpfs without a name that lasts (memfd, MAP_SHARED |
 * MAP_ANONYMOUS). SEEK_DATA tells which pages exist; that is all there is to see. Pages that
 * exist but hold zeroes are left out.
 */
#include "mem/shmem.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "image/pages.h"
#include "mem/common.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE	4096u
#define BUF_LEN (1024u * 1024)

/* ------------------------------------------------------------------- dump */

struct shmem_dump {
	int fd;
	uint64_t shmid, size;
	struct pagemap_writer *w;
	struct mem_stats *stats;
	uint8_t *buf;
};

static int fail(const struct shmem_dump *d, int code, const char *what, struct err *err)
{
	return err_sys(err, code, "shared memory object %" PRIu64 ": %s", d->shmid, what);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* Pages [first, last) of the buffer, whose first page is at `at` in the object. */
static int write_run(struct shmem_dump *d, uint64_t at, size_t first, size_t last, struct err *err)
{
	const struct page_run run = {
		.vaddr = at + first * PAGE, .npages = last - first, .flags = PE_PRESENT};
	uint64_t off;
	int fd, r;

	if (first == last)
		return 0;
	TRY(pagemap_add(d->w, &run, &off, err));
	fd = pagemap_pages_fd(d->w, err);
	TRY(fd);
	r = io_pwrite_full(fd, d->buf + first * PAGE, (last - first) * PAGE, off);
	if (r < 0)
		return fail(d, r, "writing pages", err);
	pagemap_wrote(d->w, off, (last - first) * PAGE);
	return 0;
}

static int dump_buffer(struct shmem_dump *d, uint64_t at, uint64_t len, struct err *err)
{
	size_t npages = (len + PAGE - 1) / PAGE, first = 0;
	int r = io_pread_full(d->fd, d->buf, len, at);

	if (r < 0)
		return fail(d, r, "reading", err);
	memset(d->buf + len, 0, npages * PAGE - len);
	d->stats->shpages_scanned += npages;
	for (size_t i = 0; i < npages; i++) {
		if (!is_zero(d->buf + i * PAGE))
			continue;
		TRY(write_run(d, at, first, i, err));
		first = i + 1;
	}
	return write_run(d, at, first, npages, err);
}

/* The next range with data at or behind `at`; objects without SEEK_DATA are data altogether. */
static int next_data(const struct shmem_dump *d, uint64_t at, uint64_t *start, uint64_t *end)
{
	off_t from = lseek(d->fd, (off_t)at, SEEK_DATA), to;

	if (from < 0 && errno == ENXIO)
		return 0;
	if (from < 0 && errno != EINVAL && errno != ESPIPE)
		return -errno;
	to = from < 0 ? -1 : lseek(d->fd, from, SEEK_HOLE);
	*start = from < 0 ? at : (uint64_t)from & ~(uint64_t)(PAGE - 1);
	*end = to < 0 ? d->size : MIN((uint64_t)to, d->size);
	return *start < *end;
}

static int dump_object(struct shmem_dump *d, struct err *err)
{
	/* The descriptor may share its position with the program's. */
	off_t pos = lseek(d->fd, 0, SEEK_CUR);
	uint64_t start = 0, end = 0;
	int r, ret = 0;

	while (ret == 0 && (r = next_data(d, end, &start, &end)) > 0)
		for (uint64_t at = start; ret == 0 && at < end; at += BUF_LEN)
			ret = dump_buffer(d, at, MIN(end - at, BUF_LEN), err);
	if (ret == 0 && r < 0)
		ret = fail(d, r, "looking for data", err);
	if (pos >= 0)
		(void)lseek(d->fd, pos, SEEK_SET); /* a position that was valid before */
	return ret;
}

int shmem_dump(const struct img_dir *dir, int fd, uint64_t shmid, uint64_t size,
	       struct mem_stats *stats, struct err *err)
{
	struct shmem_dump d = {.fd = fd, .shmid = shmid, .size = size, .stats = stats};
	auto_free uint8_t *buf = NULL;

	if (!size)
		return 0;
	if (!stats->next_pages_id)
		stats->next_pages_id = 1;
	d.buf = buf = xcalloc(1, BUF_LEN);
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
