/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways to get a page into a task, the quickest that is possible for each:
 *
 *  - UFFDIO_COPY straight from the mapped image: allocates and copies, the kernel doesn't zero the
 *    page first. For anonymous pages that aren't there yet, whatever their protection, of tasks
 *    that have many of them.
 *  - process_vm_writev(): many pieces in one call, for memory that the task may write. A fault of
 *    its makes a huge page where the mapping may have some, which UFFDIO_COPY never does.
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
/* Bytes in one piece of work. A multiple of a huge page: none is cut. */
#define WORK_LEN (UINT64_C(4) << 20)
/* Small pieces that are written by one call. */
#define WRITES_MAX 256

/* One fill, or a part of it; with `n` > 1 several whole ones. */
struct work {
	enum { BY_UFFD, BY_WRITE, BY_POKE } how;
	const struct fill *fill;
	size_t n;
	uint64_t off, len; /* bytes; of the one */
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

static void add_work(struct filler *fr, int how, const struct fill *f)
{
	uint64_t len = f->npages * PAGE_LEN;
	struct work *last = fr->work.len ? &fr->work.data[fr->work.len - 1] : NULL;

	fr->bytes += len;
	/* The next small one: goes with those before. */
	if (how == BY_WRITE && last && last->how == BY_WRITE && last->fill + last->n == f &&
	    !last->off && last->n < WRITES_MAX && last->len + len <= WORK_LEN) {
		last->n++;
		last->len += len;
		return;
	}
	for (uint64_t off = 0, part; off < len; off += part) {
		/* Borders at multiples, whatever it begins with. */
		part = MIN(len - off, WORK_LEN - (f->va + off) % WORK_LEN);
		*vec_push(&fr->work) = (struct work){how, f, 1, off, part};
	}
}

static void add_all(struct filler *fr, const struct fill *fills, size_t n)
{
	const struct vma *registered = NULL, *failed = NULL;

	for (const struct fill *f = fills; f < fills + n; f++) {
		bool by_uffd = fr->uffd >= 0 && suits_uffd(f);

		if (by_uffd && f->vma != registered && f->vma != failed)
			*(uffd_register(fr->uffd, f->vma) == 0 ? &registered : &failed) = f->vma;
		if (by_uffd && f->vma == registered)
			add_work(fr, BY_UFFD, f);
		else
			add_work(fr, f->writable ? BY_WRITE : BY_POKE, f);
	}
}

static int do_one(const struct filler *fr, const struct work *w, struct err *err)
{
	switch (w->how) {
	case BY_UFFD:
		return uffd_copy(fr, w, err);
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
	/* A thread's start isn't for free. */
	if (!pool || fr->bytes <= WORK_LEN)
		return do_some(fr, err);
	for (unsigned int i = 0; i < pool_threads(pool); i++)
		pool_add(pool, do_some, fr);
	return pool_wait(pool, err);
}

bool fill_wants_uffd(const struct fill *fills, size_t n)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < n; i++)
		if (suits_uffd(&fills[i]))
			pages += fills[i].npages;
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
	add_all(&fr, fills, n);
	r = do_all(&fr, pool, err);
	vec_done(&fr.work);
	return r;
}
