/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uffd-wp tracker: userfaultfd with asynchronous write protection (UFFD_FEATURE_WP_ASYNC). A
 * mark in a page table entry says "unwritten"; the first write takes it away, in the kernel,
 * without a message to anybody. PAGEMAP_SCAN reads marks and sets them, page by page under the
 * page table lock, so that nothing is lost between the two while the program runs.
 *
 * The target makes the descriptor, which belongs to its address space for good; we take it and the
 * target closes its own number. From then on everything is done from outside.
 *
 * Why clean is clean: a page that is said to be unwritten since the last round carries a mark that
 * our scan of that round set.
 *
 *  - Marks are set by our scans only: the mapping is registered with our userfaultfd, and no other
 *    can be registered with it at the same time. The one who asks for the marks of a mapping
 *    registers it first, which fails (EBUSY) for those of others.
 *  - A mark goes with its mapping. Fork, mremap() (unless the owner asked for events) and
 *    unregistering take mapping and marks from us; what is mapped over a range starts without. So
 *    does a mapping that was never registered: its marks count for nothing, it is TRACK_NEW. There
 *    can't even be any, but before a fix of 2025 (6.13) mremap() left them behind; on such kernels
 *    the tracker doesn't work: see probe_moved().
 *  - What becomes of a mapping between the probe and the registration: it goes away (the
 *    registration fails: TRACK_OFF), or a new one takes its place. That one gets registered and is
 *    called TRACK_ON, and has no marks: all its pages are said to be written. After the
 *    registration: a new one isn't registered, the scan skips it or calls all its pages written.
 *  - A registered mapping that grows (the stack, mremap() in place) has no marks in the new part,
 *    the heap gets a new mapping. Pages that come back after MADV_DONTNEED have no mark; for those
 *    that don't, see mem/pagescan.c.
 *  - After execve() the address space is another one: nothing in it is registered, and ours can't
 *    be (ENOMEM, or that of somebody who shares the old one: it stays unregistered here).
 *
 * What no tracker sees is data that a device puts into a page after the protection, because the
 * program handed the page over before it: the read() with O_DIRECT, or the registered buffer of
 * io_uring, that is in progress when a pre-dump comes by. The manual names this limit.
 *
 * Programs feel three things: one fault for each page written after a round, of about a
 * microsecond; a huge page of which something is written after a round is mapped by small entries
 * from then on; and a userfaultfd of their own can't be registered for a mapping that we have
 * (EBUSY). Mappings of program text are left alone: they have no data, and a registered mapping
 * of a file is faulted in page by page.
 */
#include "base/auto.h"
#include "base/log.h"
#include "kernel/proc.h"
#include "kernel/uapi/pagemap.h"
#include "kernel/uapi/procmap.h"
#include "kernel/uapi/userfaultfd.h"
#include "mem/track_kinds.h"
#include "remote/pass_fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096u

#define FLAGS	 (O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)
#define FEATURES (UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED)

/* ------------------------------------------------------------------ calls */

static int handshake(int uffd)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};

	return ioctl(uffd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

static int do_register(int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_register arg = {
		.range = {.start = start, .len = end - start},
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &arg) < 0 ? -errno : 0;
}

static int unprotect(int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_writeprotect arg = {.range = {.start = start, .len = end - start}};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &arg) < 0 ? -errno : 0;
}

/*
 * 0 if every mapping in the range has asynchronous protection, of whomever; -EPERM if one hasn't.
 * Those that have are of no interest, so that no page table is walked.
 */
static int check_registered(int pagemap, uint64_t start, uint64_t end)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = end,
		.category_mask = PAGE_IS_WPALLOWED,
		.category_inverted = PAGE_IS_WPALLOWED,
		.return_mask = PAGE_IS_WPALLOWED,
	};

	return ioctl(pagemap, PAGEMAP_SCAN, &arg) < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------ probe */

/* 1 if the page was written since it was protected, 0 if not; protects it. */
static int look_at(int pagemap, const volatile char *p)
{
	struct page_region found = {0}; /* for checkers, which don't know what the ioctl fills */
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + PAGE,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	if (n != 1)
		return n < 0 ? -errno : -EIO;
	return found.categories & PAGE_IS_WRITTEN ? 1 : 0;
}

/* Before 6.13 a page that was moved kept its mark, and even after it was written. */
static int probe_moved(int uffd, int pagemap, char *from, char *to)
{
	if (mremap(from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return -errno;
	if (do_register(uffd, (uintptr_t)to, (uintptr_t)to + PAGE) < 0)
		return -errno;
	return look_at(pagemap, to) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_pages(int uffd, int pagemap, char *p)
{
	volatile char *first = p;
	int r;

	*first = 1;
	r = do_register(uffd, (uintptr_t)p, (uintptr_t)p + PAGE);
	if (r < 0)
		return r;
	if (look_at(pagemap, p) != 1 || look_at(pagemap, p) != 0)
		return -EOPNOTSUPP;
	*first = 2;
	if (look_at(pagemap, p) != 1 || look_at(pagemap, p) != 0)
		return -EOPNOTSUPP;
	return probe_moved(uffd, pagemap, p, p + PAGE);
}

static int probe(void)
{
	auto_close int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	auto_close int uffd = (int)syscall(SYS_userfaultfd, FLAGS);
	char *p;
	int r;

	if (pagemap < 0 || uffd < 0)
		return -errno;
	r = handshake(uffd);
	if (r < 0)
		return r;
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = probe_pages(uffd, pagemap, p);
	munmap(p, 2 * PAGE);
	return r;
}

/* ----------------------------------------------------------------- attach */

static int attach(struct target *t, struct tracker *tr, struct err *err)
{
	int r;

	tr->fd = target_make_fd(t, SYS_userfaultfd, FLAGS, err);
	if (tr->fd < 0)
		return tr->fd;
	r = handshake(tr->fd);
	return r < 0 ? err_sys(err, r, "pid %d (%s): UFFDIO_API", t->pid, t->comm) : 0;
}

/* The last page of the address space: whatever is there, to call it written does no harm. */
#define LAST_PAGE UINT64_C(0x7fffffffe000)

static bool is_stale(const struct tracker *tr)
{
	return unprotect(tr->fd, LAST_PAGE, LAST_PAGE + PAGE) == -ESRCH;
}

/* -------------------------------------------------------------------- arm */

static bool is_text(const struct vma *v)
{
	return vma_is(v, VMA_FILE_PRIVATE) && v->prot & PROT_EXEC && !(v->prot & PROT_WRITE);
}

/* What arming looks at. */
struct arming {
	int pagemap, maps;
	const struct vma *vmas;
	size_t n;
};

/* The private mapping that holds this address now; false: there is none. */
static bool look_up(const struct arming *a, uint64_t va, struct procmap_query *ret)
{
	*ret = (struct procmap_query){.size = sizeof(*ret), .query_addr = va};
	return ioctl(a->maps, PROCMAP_QUERY, ret) == 0 &&
	       !(ret->vma_flags & PROCMAP_QUERY_VMA_SHARED);
}

/* Could these, side by side, be one mapping that was split? */
static bool are_one(const struct procmap_query *low, const struct procmap_query *high)
{
	if (low->vma_end != high->vma_start || low->vma_flags != high->vma_flags)
		return false;
	return !(low->vma_flags & PROCMAP_QUERY_FILE_BACKED) ||
	       (low->inode == high->inode && low->dev_major == high->dev_major &&
		low->dev_minor == high->dev_minor &&
		low->vma_offset + (low->vma_end - low->vma_start) == high->vma_offset);
}

/* Up to where a mapping of the list may reach without being in the way of the next one. */
static uint64_t room_above(const struct arming *a, size_t i)
{
	return i + 1 < a->n ? a->vmas[i + 1].start : UINT64_MAX;
}

static uint64_t room_below(const struct arming *a, size_t i)
{
	return i ? a->vmas[i - 1].end : 0;
}

/*
 * To register a part of a mapping is to split it, and the program's own mremap() of all of it would
 * fail then. A program that runs may have let it grow since the list was made: so it is registered
 * as it is now, and if it grew just then, too, the rest after that. The kernel makes one mapping of
 * both again. (Without PROCMAP_QUERY this isn't seen, until the next round.)
 */
static int register_whole(const struct tracker *tr, const struct arming *a, size_t i)
{
	const struct vma *v = &a->vmas[i];
	uint64_t start = v->start, end = v->end;
	struct procmap_query now, q;

	if (look_up(a, v->start, &now)) {
		start = MAX(now.vma_start, room_below(a, i));
		end = MAX(end, MIN(now.vma_end, room_above(a, i)));
	}
	TRY(do_register(tr->fd, start, end));
	if (!look_up(a, start, &now))
		return 0;
	if (end < room_above(a, i) && look_up(a, end, &q) && are_one(&now, &q))
		(void)do_register(tr->fd, end, MIN(q.vma_end, room_above(a, i)));
	if (start > room_below(a, i) && look_up(a, start - 1, &q) && are_one(&q, &now))
		(void)do_register(tr->fd, MAX(q.vma_start, room_below(a, i)), start);
	return 0;
}

/* EBUSY is for the caller. Any other failure: the mapping is gone, or became another. */
static int arm_one(struct tracker *tr, const struct arming *a, size_t i, uint8_t *ret_state)
{
	const struct vma *v = &a->vmas[i];
	int known = check_registered(a->pagemap, v->start, v->end);
	int r = register_whole(tr, a, i);

	if (r < 0)
		*ret_state = TRACK_OFF;
	else
		*ret_state = known < 0 ? TRACK_NEW : TRACK_ON;
	return r;
}

static void warn_foreign(const struct tracker *tr, const struct vma *v, size_t n)
{
	log_warn("pid %d: %" PRIx64 "-%" PRIx64 "%s: the program has a userfaultfd of its own "
		 "there: such memory is dumped in full each time",
		 tr->pid, v->start, v->end, n > 1 ? " and others" : "");
}

static int arm(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
	       struct err *err)
{
	char path[64];
	auto_close int pagemap = -EBADF, maps = -EBADF;
	const struct vma *foreign = NULL;
	struct arming a = {.vmas = vmas, .n = n};
	size_t nforeign = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", tr->pid);
	a.maps = maps = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", tr->pid);
	a.pagemap = pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (proc_is_gone(-errno) && pagemap < 0)
		return err_gone(err, "pid %d: died", tr->pid);
	if (pagemap < 0)
		return err_sys(err, -errno, "open %s", path);
	for (size_t i = 0; i < n; i++) {
		states[i] = TRACK_OFF;
		if (!vma_is_trackable(&vmas[i]) || is_text(&vmas[i]))
			continue;
		if (arm_one(tr, &a, i, &states[i]) != -EBUSY)
			continue;
		if (!nforeign++)
			foreign = &vmas[i];
	}
	if (nforeign)
		warn_foreign(tr, foreign, nforeign);
	return 0;
}

static int restart(struct tracker *tr, struct err *err)
{
	return 0;
}

const struct tracker_ops track_uffd = {
	.probe = probe,
	.attach = attach,
	.is_stale = is_stale,
	.arm = arm,
	.restart = restart,
};
