/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways to get a page into a task, the quickest that is possible for each:
 *
 *  - UFFDIO_COPY straight from the mapped image: allocates and copies, the kernel doesn't zero the
 *    page first. For anonymous pages that aren't there yet, whatever their protection, of tasks
 *    that have many of them.
 *  - process_vm_writev(): many pieces in one call, for memory that the task may write.
 *  - /proc/PID/mem: ignores protection (read-only and PROT_NONE mappings), one call per piece.
 */
#include "mem/fill.h"

#include "base/auto.h"
#include "base/log.h"
#include "kernel/sys.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"
#include "remote/pass_fd.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

/* Below it, setting up a userfaultfd costs more than it saves. */
#define UFFD_MIN_PAGES 256

static bool suits_uffd(const struct fill *f)
{
	return f->fresh && vma_is(f->vma, VMA_ANON_PRIVATE) && !(f->vma->flags & MAP_HUGETLB);
}

/* -------------------------------------------------------------- written in */

static int poke(const struct target *t, const struct fill *f, uint64_t skip, struct err *err)
{
	return target_poke(t, raddr(f->va + skip), f->src + skip, f->npages * PAGE_LEN - skip, err);
}

struct writes {
	struct iovec local[IOV_MAX], remote[IOV_MAX];
	const struct fill *fills[IOV_MAX];
	size_t n;
	uint64_t bytes;
};

static int write_out(const struct target *t, struct writes *w, struct err *err)
{
	ssize_t done = 0;

	if (w->n)
		done = sys_vm_writev(t->pid, w->local, w->n, w->remote, w->n);
	if (done < 0)
		done = 0;
	/* What it couldn't do (no write permission after all), piece by piece. */
	for (size_t i = 0; (uint64_t)done < w->bytes && i < w->n; i++) {
		uint64_t len = w->local[i].iov_len;

		w->bytes -= len;
		if ((uint64_t)done < len)
			TRY(poke(t, w->fills[i], (uint64_t)done, err));
		done = (uint64_t)done < len ? 0 : done - (ssize_t)len;
	}
	w->n = w->bytes = 0;
	return 0;
}

/* Everything that `skip_uffd` doesn't leave to somebody else. */
static int write_in(const struct target *t, const struct fill *fills, size_t n, bool skip_uffd,
		    struct err *err)
{
	auto_free struct writes *w = xcalloc(1, sizeof(*w));

	for (const struct fill *f = fills; f < fills + n; f++) {
		uint64_t len = f->npages * PAGE_LEN;

		if (skip_uffd && suits_uffd(f))
			continue;
		if (!f->writable) {
			TRY(poke(t, f, 0, err));
			continue;
		}
		/* One call moves less than 2 GiB. */
		if (w->n == IOV_MAX || w->bytes + len > INT_MAX / 2)
			TRY(write_out(t, w, err));
		w->local[w->n] = (struct iovec){(void *)f->src, len};
		w->remote[w->n] = (struct iovec){(void *)(uintptr_t)f->va, len};
		w->fills[w->n++] = f;
		w->bytes += len;
	}
	return write_out(t, w, err);
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

/* The bytes that were copied; less than all if something is in the way. */
static uint64_t uffd_copy(int fd, const struct fill *f)
{
	uint64_t len = f->npages * PAGE_LEN, done = 0;

	while (done < len) {
		struct uffdio_copy c = {
			.dst = f->va + done,
			.src = (uintptr_t)f->src + done,
			.len = len - done,
			.mode = UFFDIO_COPY_MODE_DONTWAKE,
		};
		int r = ioctl(fd, UFFDIO_COPY, &c);

		/* Partly done (EAGAIN): a signal for us, or the address space was being changed. */
		if (c.copy > 0)
			done += (uint64_t)c.copy;
		else if (r < 0 && errno != EAGAIN)
			break;
	}
	return done;
}

static int uffd_fill(struct target *t, int fd, const struct fill *fills, size_t n, struct err *err)
{
	const struct vma *registered = NULL, *failed = NULL;

	for (const struct fill *f = fills; f < fills + n; f++) {
		uint64_t done = 0;

		if (!suits_uffd(f))
			continue;
		if (f->vma != registered && f->vma != failed) {
			if (uffd_register(fd, f->vma) == 0)
				registered = f->vma;
			else
				failed = f->vma;
		}
		if (f->vma == registered)
			done = uffd_copy(fd, f);
		if (done < f->npages * PAGE_LEN) {
			log_debug("pid %d: userfaultfd can't fill %" PRIx64, t->pid, f->va + done);
			TRY(poke(t, f, done, err));
		}
	}
	return 0;
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
int fill_pages(struct target *t, const struct fill *fills, size_t n, int uffd, struct err *err)
{
	auto_close int fd = -EBADF;

	if (uffd >= 0) {
		fd = uffd_open(t, uffd, err);
		TRY(fd);
		TRY(uffd_fill(t, fd, fills, n, err));
	}
	return write_in(t, fills, n, /* skip_uffd= */ fd >= 0, err);
}
