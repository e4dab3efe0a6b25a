/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PAGEMAP_SCAN over the whole address space answers for all vmas at once: pages of files and
 * of shared memory have PAGE_IS_FILE, the zero page PAGE_IS_PFNZERO, and the walk skips gaps and
 * empty page tables. The one thing it reports too much is [vvar], whose pages are of nobody.
 *
 * It is cut into windows because the kernel holds the mmap_lock of a target that may run while it
 * walks (until 512 ranges are found, which for dense memory is never). A window begins at data,
 * which a first call looks for without protecting anything: a terabyte of empty page tables is one
 * step. It ends at a multiple of 2 MiB, as a huge page of which a part is protected is split.
 *
 * What `written` means. Data under asynchronous write protection was written if its entry has lost
 * the mark; and all of it was where the mapping isn't protected at all. One case needs care: when
 * a marked page of a private file mapping is dropped (MADV_DONTNEED, memory pressure on a clean
 * copy), the kernel leaves a marker in the page table, which the scan reports as swapped out and
 * not written, like a page that still has the program's data. So in mappings of files, what is
 * swapped out always counts as written. In anonymous memory nothing is left behind.
 *
 * Without the ioctl, 8 bytes per page are read. Bit 61 is PAGE_IS_FILE; the zero page shows only
 * by its frame number, which needs CAP_SYS_ADMIN and is learnt from a page of our own. Taking it
 * for data is harmless, just bigger.
 */
#include "mem/pagescan.h"

#include "base/auto.h"
#include "base/io.h"
#include "kernel/proc.h"
#include "mem/track.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#define PAGE	  4096u
#define HUGE_PAGE (UINT64_C(2) << 20)
#define WINDOW	  (UINT64_C(64) << 20)
#define LARGE	  (UINT64_C(4) << 20)

bool pagescan_entry_wanted(uint64_t entry, enum pagescan_what what, uint64_t zero_pfn)
{
	if (what == PAGESCAN_GUARDS)
		return entry & PM_GUARD_REGION;
	if (entry & (PM_FILE | PM_GUARD_REGION))
		return false;
	if (entry & PM_SWAP)
		return true;
	return (entry & PM_PRESENT) && !(zero_pfn && (entry & PM_PFRAME_MASK) == zero_pfn);
}

/* A page that was only read is the zero page. */
uint64_t pagescan_zero_pfn(void)
{
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile const char *p;
	uint64_t entry = 0;

	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	(void)*p;
	if (fd < 0 || io_pread_full(fd, &entry, sizeof(entry), (uintptr_t)p / PAGE * 8) < 0)
		entry = 0;
	munmap((void *)p, PAGE);
	return entry & PM_PRESENT ? entry & PM_PFRAME_MASK : 0;
}

static int fail(const struct pagescan *s, int code, struct err *err)
{
	if (proc_is_gone(code))
		return err_gone(err, "pid %d (%s): died", s->target->pid, s->target->comm);
	return err_sys(err, code, "pid %d (%s): reading pagemap", s->target->pid, s->target->comm);
}

/*
 * To tell a page of a file from others the kernel looks at its struct page, and so misses the cache
 * for each: in anonymous mappings, where there are none, that is most of a scan's time. It is worth
 * calls of their own from some size on.
 */
static bool is_large_anonymous(const struct vma *v)
{
	return vma_is(v, VMA_ANON_PRIVATE) && v->end - v->start >= LARGE;
}

/* Does the mapping after those of the stretch belong to it? */
static bool goes_on(const struct pagescan *s)
{
	const struct vma *v = &s->vmas[s->vma];

	if (s->vma == s->nvmas || s->anonymous || is_large_anonymous(v))
		return false;
	return s->mode != PAGESCAN_PROTECT || (v->start == s->end && vma_is_trackable(v));
}

/* The next stretch to be looked at: mappings that lie side by side, or all there are. */
static bool next_stretch(struct pagescan *s)
{
	while (s->vma < s->nvmas && s->mode == PAGESCAN_PROTECT &&
	       !vma_is_trackable(&s->vmas[s->vma]))
		s->vma++;
	if (s->vma == s->nvmas)
		return false;
	s->at = s->window = s->vmas[s->vma].start;
	s->anonymous = is_large_anonymous(&s->vmas[s->vma]);
	do {
		s->end = s->vmas[s->vma++].end;
	} while (goes_on(s));
	return true;
}

int pagescan_init(struct pagescan *s, const struct target *t, enum pagescan_what what,
		  enum pagescan_mode mode, const struct vma *vmas, size_t nvmas, struct err *err)
{
	while (nvmas && (vmas[nvmas - 1].status & (VMA_AREA_VSYSCALL | VMA_AREA_GUARD)))
		nvmas--; /* the vsyscall page lies beyond what may be scanned */
	s->target = t;
	s->vmas = vmas;
	s->nvmas = nvmas;
	s->what = what;
	s->mode = mode;
	s->old_kernel = s->no_guards = s->anonymous = false;
	s->zero_pfn = 0;
	s->at = s->end = s->window = 0;
	s->vma = s->next = s->n = 0;
	s->fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	return s->fd < 0 ? fail(s, -errno, err) : 0;
}

void pagescan_done(struct pagescan *s)
{
	s->fd = fd_close(s->fd);
}

/* Ranges end where one of these bits changes: no more than are needed. */
static uint64_t wanted_bits(const struct pagescan *s)
{
	if (s->what == PAGESCAN_GUARDS)
		return PAGE_IS_GUARD;
	switch (s->mode) {
	case PAGESCAN_DIRTY:
	case PAGESCAN_PROTECT:
		return PAGE_IS_HUGE | PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN | PAGE_IS_SWAPPED;
	case PAGESCAN_SOFT_DIRTY:
		return PAGE_IS_HUGE | PAGE_IS_SOFT_DIRTY;
	case PAGESCAN_PLAIN:
		break;
	}
	return PAGE_IS_HUGE;
}

static struct pm_scan_arg scan_arg(const struct pagescan *s)
{
	struct pm_scan_arg arg = {.size = sizeof(arg), .return_mask = wanted_bits(s)};

	if (s->what == PAGESCAN_GUARDS) {
		arg.category_mask = PAGE_IS_GUARD;
	} else {
		/* A guard is a marker in the page table, and counts as swapped. */
		uint64_t unwanted = PAGE_IS_PFNZERO | (s->anonymous ? 0 : PAGE_IS_FILE) |
				    (s->no_guards ? 0 : PAGE_IS_GUARD);

		arg.category_mask = arg.category_inverted = unwanted;
		arg.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	}
	return arg;
}

/* Moves on to the next page that is wanted, and lays a window there. */
static int open_window(struct pagescan *s)
{
	struct page_region first;
	struct pm_scan_arg arg = scan_arg(s);
	int n;

	arg.start = s->at;
	arg.end = s->end;
	arg.vec = (uintptr_t)&first;
	arg.vec_len = arg.max_pages = 1;
	n = ioctl(s->fd, PAGEMAP_SCAN, &arg);
	if (n < 0)
		return -errno;
	s->at = n ? first.start : s->end;
	s->window = MIN(s->end, s->at / HUGE_PAGE * HUGE_PAGE + WINDOW);
	return 0;
}

static int scan_window(struct pagescan *s)
{
	struct pm_scan_arg arg = scan_arg(s);
	int n;

	arg.flags = s->mode == PAGESCAN_PROTECT ? PM_SCAN_WP_MATCHING : 0;
	arg.start = s->at;
	arg.end = s->window;
	arg.vec = (uintptr_t)s->found;
	arg.vec_len = PAGESCAN_REGIONS;
	n = ioctl(s->fd, PAGEMAP_SCAN, &arg);
	if (n < 0)
		return -errno;
	/*
	 * The kernel fills 512 ranges at a time, and if it ends well after the first 512, walk_end
	 * still says where those ended. To look there again would protect pages whose writes
	 * nobody hears of.
	 */
	s->at = n ? MAX(arg.walk_end, s->found[n - 1].end) : arg.walk_end;
	s->n = (size_t)n;
	s->next = 0;
	return 0;
}

static int scan(struct pagescan *s)
{
	int r = 0;

	s->n = s->next = 0;
	while (r >= 0 && s->n == 0) {
		if (s->at < s->window)
			r = scan_window(s);
		else if (s->at < s->end)
			r = open_window(s);
		else if (!next_stretch(s))
			break;
	}
	return r;
}

static bool entry_written(const struct pagescan *s, uint64_t entry)
{
	return s->mode != PAGESCAN_SOFT_DIRTY || entry & PM_SOFT_DIRTY;
}

static void add_entry(struct pagescan *s, uint64_t at, uint64_t entry)
{
	uint64_t bits = entry_written(s, entry) ? PAGE_IS_SOFT_DIRTY : 0;
	struct page_region *last = s->n ? &s->found[s->n - 1] : NULL;

	if (!pagescan_entry_wanted(entry, s->what, s->zero_pfn))
		return;
	if (last && last->end == at && last->categories == bits)
		last->end = at + PAGE;
	else
		s->found[s->n++] = (struct page_region){at, at + PAGE, bits};
}

/* Reads entries of the current vma until something is found or the last vma is through. */
static int read_entries(struct pagescan *s)
{
	uint64_t entries[512];

	s->n = s->next = 0;
	while (s->vma < s->nvmas && s->n < PAGESCAN_REGIONS) {
		const struct vma *v = &s->vmas[s->vma];
		uint64_t at = MAX(s->at, v->start), want;
		ssize_t got;

		if (at >= v->end) {
			s->vma++;
			continue;
		}
		want = MIN((v->end - at) / PAGE, MIN(ARRAY_SIZE(entries), PAGESCAN_REGIONS - s->n));
		got = pread(s->fd, entries, want * 8, (off_t)(at / PAGE * 8));
		if (got <= 0)
			return got < 0 ? -errno : -ESRCH;
		for (size_t i = 0; i < (size_t)got / 8; i++, at += PAGE)
			add_entry(s, at, entries[i]);
		s->at = at;
	}
	return 0;
}

static int begin_old_kernel(struct pagescan *s)
{
	if (s->mode == PAGESCAN_DIRTY || s->mode == PAGESCAN_PROTECT)
		return -EOPNOTSUPP;
	s->old_kernel = true;
	s->vma = 0;
	s->at = 0;
	if (s->what == PAGESCAN_DATA)
		s->zero_pfn = pagescan_zero_pfn();
	return 0;
}

static int refill(struct pagescan *s)
{
	int r = s->old_kernel ? read_entries(s) : scan(s);

	/* EINVAL: a category that this kernel doesn't know (guards: 6.15). */
	if (r == -EINVAL && !s->no_guards && s->what == PAGESCAN_DATA) {
		s->no_guards = true;
		r = scan(s);
	}
	/* ENOTTY: before 6.7. */
	if (!s->old_kernel && (r == -ENOTTY || r == -EINVAL)) {
		r = begin_old_kernel(s);
		if (r >= 0)
			r = read_entries(s);
	}
	return r;
}

/* Is all of [start, end) in anonymous mappings, where no markers are left behind? */
static bool is_anonymous(const struct pagescan *s, uint64_t start, uint64_t end)
{
	size_t low = 0, high = s->nvmas;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->vmas[mid].end <= start)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < s->nvmas && s->vmas[low].start < end; low++)
		if (!vma_is(&s->vmas[low], VMA_ANON_PRIVATE))
			return false;
	return true;
}

static bool is_written(const struct pagescan *s, const struct page_region *r)
{
	switch (s->mode) {
	case PAGESCAN_DIRTY:
	case PAGESCAN_PROTECT:
		if (!(r->categories & PAGE_IS_WPALLOWED) || r->categories & PAGE_IS_WRITTEN)
			return true;
		return r->categories & PAGE_IS_SWAPPED && !is_anonymous(s, r->start, r->end);
	case PAGESCAN_SOFT_DIRTY:
		return r->categories & PAGE_IS_SOFT_DIRTY;
	case PAGESCAN_PLAIN:
		break;
	}
	return true;
}

int pagescan_next(struct pagescan *s, struct pagescan_region *ret, struct err *err)
{
	const struct page_region *r;

	if (s->next == s->n) {
		int code = refill(s);

		if (code < 0)
			return fail(s, code, err);
		if (s->n == 0)
			return 0;
	}
	r = &s->found[s->next++];
	*ret = (struct pagescan_region){
		.start = r->start,
		.end = r->end,
		.written = is_written(s, r),
		.huge = r->categories & PAGE_IS_HUGE,
	};
	return 1;
}
