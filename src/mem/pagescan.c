/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PAGEMAP_SCAN over the whole address space answers for all vmas at once: pages of files and
 * of shared memory have PAGE_IS_FILE, the zero page PAGE_IS_PFNZERO, and the walk skips gaps and
 * empty page tables. The one thing it reports too much is [vvar], whose pages are of nobody.
 *
 * Without the ioctl, 8 bytes per page are read. Bit 61 is PAGE_IS_FILE; the zero page shows only
 * by its frame number, which needs CAP_SYS_ADMIN and is learnt from a page of our own. Taking it
 * for data is harmless, just bigger.
 */
#include "mem/pagescan.h"

#include "base/auto.h"
#include "base/io.h"
#include "kernel/proc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#define PAGE 4096u

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
static uint64_t learn_zero_pfn(void)
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
	s->old_kernel = s->no_guards = false;
	s->zero_pfn = 0;
	s->at = nvmas ? vmas[0].start : 0;
	s->end = nvmas ? vmas[nvmas - 1].end : 0;
	s->vma = s->next = s->n = 0;
	s->fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	return s->fd < 0 ? fail(s, -errno, err) : 0;
}

void pagescan_done(struct pagescan *s)
{
	s->fd = fd_close(s->fd);
}

static int scan(struct pagescan *s)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = s->at,
		.end = s->end,
		.vec = (uintptr_t)s->found,
		.vec_len = PAGESCAN_REGIONS,
		/* Regions are merged as long as these bits are equal: ask for one that is fixed. */
		.return_mask = PAGE_IS_PFNZERO,
	};
	int n;

	if (s->what == PAGESCAN_GUARDS) {
		arg.category_mask = PAGE_IS_GUARD;
	} else {
		/* A guard is a marker in the page table, and counts as swapped. */
		uint64_t unwanted = PAGE_IS_PFNZERO | PAGE_IS_FILE |
				    (s->no_guards ? 0 : PAGE_IS_GUARD);

		arg.category_mask = arg.category_inverted = unwanted;
		arg.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	}
	n = ioctl(s->fd, PAGEMAP_SCAN, &arg);
	if (n < 0)
		return -errno;
	s->at = arg.walk_end;
	s->n = (size_t)n;
	s->next = 0;
	return 0;
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
		for (size_t i = 0; i < (size_t)got / 8; i++, at += PAGE) {
			if (!pagescan_entry_wanted(entries[i], s->what, s->zero_pfn))
				continue;
			if (s->n && s->found[s->n - 1].end == at)
				s->found[s->n - 1].end = at + PAGE;
			else
				s->found[s->n++] = (struct page_region){at, at + PAGE, 0};
		}
		s->at = at;
	}
	if (s->vma == s->nvmas)
		s->at = s->end;
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
		s->old_kernel = true;
		if (s->what == PAGESCAN_DATA)
			s->zero_pfn = learn_zero_pfn();
		r = read_entries(s);
	}
	return r;
}

int pagescan_next(struct pagescan *s, struct pagescan_region *ret, struct err *err)
{
	while (s->next == s->n) {
		int r;

		if (s->at >= s->end)
			return 0;
		r = refill(s);
		if (r < 0)
			return fail(s, r, err);
	}
	*ret = (struct pagescan_region){
		.start = s->found[s->next].start,
		.end = s->found[s->next].end,
		.written = true,
	};
	s->next++;
	return 1;
}
