/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of an address space carry data that only it has, by PAGEMAP_SCAN (6.7) or, on older
 * kernels, the entries of /proc/PID/pagemap. Works from outside, frozen or not.
 */
#pragma once

#include "kernel/uapi/pagemap.h"
#include "mem/vma.h"
#include "remote/target.h"

enum pagescan_what {
	/* Private pages in use: in memory or swapped out, not the zero page, not of a file. */
	PAGESCAN_DATA,
	/* Pages made guards by MADV_GUARD_INSTALL. */
	PAGESCAN_GUARDS,
};

#define PAGESCAN_REGIONS 1024

/* Only with PAGESCAN_DATA: what `written` says; see tracker_scan_mode() in mem/track.h. */
enum pagescan_mode {
	PAGESCAN_PLAIN,	     /* everything counts as written */
	PAGESCAN_DIRTY,	     /* written since the last scan that protected; uffd-wp */
	PAGESCAN_PROTECT,    /* the same, and the next round begins for what is found. Just these
				mappings are looked at, those that aren't tracked are skipped: the
				target may run */
	PAGESCAN_SOFT_DIRTY, /* written since the last tracker_restart(); soft-dirty */
};

struct pagescan_region {
	uint64_t start, end;
	bool written;
	bool huge; /* one or more whole huge pages */
};

struct pagescan {
	const struct target *target;
	const struct vma *vmas; /* looked into; ascending */
	size_t nvmas;
	enum pagescan_what what;
	enum pagescan_mode mode;
	int fd;
	bool old_kernel;   /* entries, vma by vma */
	bool no_guards;	   /* the ioctl doesn't know them */
	uint64_t zero_pfn; /* old kernel: the frame of the zero page, 0 if unknown */
	bool anonymous;	   /* what is looked at can have no pages of files */
	uint64_t at, end;  /* what is left to be looked at, of ... */
	size_t vma;	   /* ... the mappings before this one. Old kernel: where `at` is */
	uint64_t window;   /* how far one call goes */
	size_t next, n;	   /* unread results */
	struct page_region found[PAGESCAN_REGIONS];
};

/*
 * The vmas must stay as they are until pagescan_done. Ranges that come back may reach over
 * several adjacent vmas and, but for PAGESCAN_PROTECT, touch others than these.
 *
 * The kernel holds the target's mmap_lock for about a quarter of a millisecond at most at a time,
 * however large the target is; what is empty costs next to nothing.
 */
MUST_USE int pagescan_init(struct pagescan *s, const struct target *t, enum pagescan_what what,
			   enum pagescan_mode mode, const struct vma *vmas, size_t nvmas,
			   struct err *err);
/* 1 and the next range, ascending; 0 at the end. */
MUST_USE int pagescan_next(struct pagescan *s, struct pagescan_region *ret, struct err *err);
void pagescan_done(struct pagescan *s);

/* The frame of the zero page; 0: frames are hidden from us. */
uint64_t pagescan_zero_pfn(void);
/* Is a page with this pagemap entry wanted? (What older kernels get; for tests.) */
bool pagescan_entry_wanted(uint64_t entry, enum pagescan_what what, uint64_t zero_pfn);
