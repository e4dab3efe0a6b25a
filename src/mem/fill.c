/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways to get a page into a task, the quickest that is possible for each:
 *
 *  - UFFDIO_COPY straight from the mapped image: allocates and copies, the kernel doesn't zero the
 *    page first. For anonymous pages that aren't there yet, whatever their protection, of tasks
 *    that have many of them.
 *  - process_vm_writev(): many pieces in one call, for memory that the task may write, and for huge
 *    pages, which UFFDIO_COPY never makes.
 *  - /proc/PID/mem: ignores protection (read-only and PROT_NONE mappings), one call per piece.
 *
 * What is to be done is cut into pieces of work of some MiB for several threads. Faults of other
 * threads in the same address space hardly get into each other's way: they lock mappings for
 * reading, and page tables 2 MiB wise.
 */
#include "mem/fill.h"

#include "base/auto.h"
#include "base/log.h"
#include "kernel/sys.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"
#include "remote/pass_fd.h"

#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

/* Below it, setting up a userfaultfd costs more than it saves. */
#define UFFD_MIN_PAGES 256
#define HUGE_LEN       (UINT64_C(2) << 20)
/* Bytes in one piece of work. A multiple of a huge page: none is cut. */
#define WORK_LEN (UINT64_C(4) << 20)
/* Small pieces that are written by one call. */
#define WRITES_MAX 256

/* One fill, or a part of it; with `n` > 1 several whole ones. */
struct work {
	enum { BY_UFFD, BY_WRITE, BY_POKE } how;
	const struct fill *fill;
	size_t n;
	uint64_t off, len; /* bytes; with n > 1 their sum */
	bool whole;
};

struct filler {
	const struct target *t;
	int uffd; /* ours, or -EBADF */
	VEC(struct work) work;
	atomic_size_t next; /* of work */
	uint64_t bytes;
};

static bool suits_uffd(const struct fill *f)
{
	return f->fresh && vma_is(f->vma, VMA_ANON_PRIVATE) && !(f->vma->flags & MAP_HUGETLB);
}

/* The whole huge pages in it. */
static struct range huge_part(const struct fill *f)
{
	struct range r = {(f->va + HUGE_LEN - 1) & ~(HUGE_LEN - 1),
			  (f->va + f->npages * PAGE_LEN) & ~(HUGE_LEN - 1)};

	if (!f->huge || !suits_uffd(f) || r.start >= r.end)
		r.start = r.end = f->va;
	return r;
}

void fill_huge_ranges(const struct fill *fills, size_t n, range_vec *ret)
{
	for (const struct fill *f = fills; f < fills + n; f++) {
		struct range r = huge_part(f), *last = ret->len ? &ret->data[ret->len - 1] : NULL;

		if (last && last->end == r.start && f->vma == f[-1].vma)
			last->end = r.end;
		else if (r.start < r.end)
			*vec_push(ret) = r;
	}
}

/* One byte each; where that fails there will be pages of ordinary size. */
void fill_touch(const struct target *t, const range_vec *ranges)
{
	static const uint8_t zero;

	vec_foreach (r, ranges) {
		struct iovec local[WRITES_MAX], remote[WRITES_MAX];
		size_t n = 0;

		for (uint64_t va = r->start; va < r->end; va += HUGE_LEN) {
			local[n] = (struct iovec){(void *)&zero, 1};
			remote[n++] = (struct iovec){(void *)(uintptr_t)va, 1};
			if (n < WRITES_MAX && va + HUGE_LEN < r->end)
				continue;
			(void)sys_vm_writev(t->pid, local, n, remote, n);
			n = 0;
		}
	}
}

/* -------------------------------------------------------------- written in */

static int poke(const struct target *t, const struct fill *f, uint64_t off, uint64_t len,
		struct err *err)
{
	return target_poke(t, raddr(f->va + off), f->src + off, len, err);
}

/* What it can't do (no write permission after all) is done piece by piece. */
static int write_in(const struct target *t, const struct work *w, struct err *err)
{
	struct iovec local[WRITES_MAX], remote[WRITES_MAX];
	ssize_t done;

	for (size_t i = 0; i < w->n; i++) {
		const struct fill *f = &w->fill[i];
		uint64_t len = w->n > 1 ? f->npages * PAGE_LEN : w->len;

		local[i] = (struct iovec){(void *)(f->src + w->off), len};
		remote[i] = (struct iovec){(void *)(uintptr_t)(f->va + w->off), len};
	}
	done = MAX(sys_vm_writev(t->pid, local, w->n, remote, w->n), 0);
	for (size_t i = 0; i < w->n; i++) {
		uint64_t len = local[i].iov_len, part = MIN((uint64_t)done, len);

		if (part < len)
			TRY(poke(t, &w->fill[i], w->off + part, len - part, err));
		done -= (ssize_t)part;
	}
	return 0;
}

/* -------------------------------------------------------------- UFFDIO_COPY */

/* Our own descriptor of the task's. */
static int uffd_open(struct target *t, int uffd, struct err *err)
{
	struct uffdio_api api = {.api = UFFD_API};
	auto_close int fd = target_get_fd(t, (struct tfd){uffd}, err);

	TRY(fd);
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return err_sys(err, -errno, "UFFDIO_API");
	return TAKE_FD(fd);
}

static int uffd_register(int fd, const struct vma *v)
{
	struct uffdio_register reg = {
		.range = {v->start, v->end - v->start},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg) < 0 ? -errno : 0;
}

static int uffd_copy(const struct filler *fr, const struct work *w, struct err *err)
{
	uint64_t done = 0;

	while (done < w->len) {
		struct uffdio_copy c = {
			.dst = w->fill->va + w->off + done,
			.src = (uintptr_t)w->fill->src + w->off + done,
			.len = w->len - done,
			.mode = UFFDIO_COPY_MODE_DONTWAKE,
		};
		int r = ioctl(fr->uffd, UFFDIO_COPY, &c);

		/* Partly done (EAGAIN): a signal for us, or the address space was being changed. */
		if (c.copy > 0)
			done += (uint64_t)c.copy;
		else if (r < 0 && errno != EAGAIN)
			break;
	}
	if (done == w->len)
		return 0;
	log_debug("pid %d: userfaultfd can't fill %" PRIx64, fr->t->pid,
		  w->fill->va + w->off + done);
	return poke(fr->t, w->fill, w->off + done, w->len - done, err);
}

/* -------------------------------------------------------------------- work */

static void add_part(struct filler *fr, int how, const struct fill *f, uint64_t off, uint64_t end)
{
	struct work *last = fr->work.len ? &fr->work.data[fr->work.len - 1] : NULL;
	bool whole = !off && end == f->npages * PAGE_LEN;

	fr->bytes += end - off;
	/* Another small one: goes with those before. */
	if (how == BY_WRITE && whole && last && last->how == BY_WRITE && last->whole &&
	    last->fill + last->n == f && last->n < WRITES_MAX && last->len + end <= WORK_LEN) {
		last->n++;
		last->len += end;
		return;
	}
	for (uint64_t at = off, len; at < end; at += len) {
		/* Borders at multiples, whatever it begins with. */
		len = MIN(end - at, WORK_LEN - (f->va + at) % WORK_LEN);
		*vec_push(&fr->work) = (struct work){how, f, 1, at, len, whole && len == end};
	}
}

/* Before the others, for which mappings are registered: their faults would fail then. */
static void add_huge(struct filler *fr, const struct fill *fills, size_t n)
{
	for (const struct fill *f = fills; f < fills + n; f++) {
		struct range h = huge_part(f);

		add_part(fr, f->writable ? BY_WRITE : BY_POKE, f, h.start - f->va, h.end - f->va);
	}
}

static void add_others(struct filler *fr, const struct fill *fills, size_t n)
{
	const struct vma *registered = NULL, *failed = NULL;

	for (const struct fill *f = fills; f < fills + n; f++) {
		uint64_t len = f->npages * PAGE_LEN;
		struct range h = huge_part(f);
		int how = f->writable ? BY_WRITE : BY_POKE;

		if (h.end - h.start == len)
			continue;
		if (fr->uffd >= 0 && suits_uffd(f)) {
			if (f->vma != registered && f->vma != failed)
				*(uffd_register(fr->uffd, f->vma) == 0 ? &registered : &failed) =
					f->vma;
			how = f->vma == registered ? BY_UFFD : how;
		}
		add_part(fr, how, f, 0, h.start - f->va);
		add_part(fr, how, f, h.end - f->va, len);
	}
}

/*
 * UFFDIO_COPY of what isn't mapped yet goes page by page. And what has been copied isn't needed any
 * more: the page tables of a large image would grow with its size. Newer kernels free those that
 * all pages of are dropped by one call: it reaches back to where the first one's begin.
 */
static int copy_and_forget(const struct filler *fr, const struct work *w, struct err *err)
{
	uintptr_t all = (uintptr_t)w->fill->src, from = all + w->off;
	uintptr_t back = MAX(all, from / HUGE_LEN * HUGE_LEN);
	int r;

	if (w->len < HUGE_LEN) /* the many pieces of a chain of images */
		return uffd_copy(fr, w, err);
	(void)madvise((void *)from, w->len, MADV_POPULATE_READ);
	r = uffd_copy(fr, w, err);
	(void)madvise((void *)back, from + w->len - back, MADV_DONTNEED);
	return r;
}

static int do_one(const struct filler *fr, const struct work *w, struct err *err)
{
	switch (w->how) {
	case BY_UFFD:
		return copy_and_forget(fr, w, err);
	case BY_WRITE:
		return write_in(fr->t, w, err);
	case BY_POKE:
		return poke(fr->t, w->fill, w->off, w->len, err);
	}
	return 0;
}

static int do_some(void *arg, struct err *err)
{
	struct filler *fr = arg;
	size_t i;

	while ((i = atomic_fetch_add(&fr->next, 1)) < fr->work.len)
		TRY(do_one(fr, &fr->work.data[i], err));
	return 0;
}

static int do_all(struct filler *fr, struct pool *pool, struct err *err)
{
	int r;

	/* A thread's start isn't for free. */
	if (!pool || fr->bytes <= WORK_LEN) {
		r = do_some(fr, err);
	} else {
		for (unsigned int i = 0; i < pool_threads(pool); i++)
			pool_add(pool, do_some, fr);
		r = pool_wait(pool, err);
	}
	fr->work.len = 0;
	fr->next = fr->bytes = 0;
	return r;
}

bool fill_wants_uffd(const struct fill *fills, size_t n)
{
	uint64_t pages = 0;

	for (const struct fill *f = fills; f < fills + n; f++) {
		struct range h = huge_part(f);

		if (suits_uffd(f))
			pages += f->npages - (h.end - h.start) / PAGE_LEN;
	}
	return pages >= UFFD_MIN_PAGES;
}

/* Closing the last descriptor unregisters all ranges and merges the mappings again. */
int fill_pages(struct target *t, const struct fill *fills, size_t n, int uffd, struct pool *pool,
	       struct err *err)
{
	auto_close int fd = -EBADF;
	struct filler fr = {.t = t};
	int r;

	if (uffd >= 0) {
		fd = uffd_open(t, uffd, err);
		TRY(fd);
	}
	fr.uffd = fd;
	add_huge(&fr, fills, n);
	r = do_all(&fr, pool, err);
	add_others(&fr, fills, n);
	if (r == 0)
		r = do_all(&fr, pool, err);
	vec_done(&fr.work);
	return r;
}
