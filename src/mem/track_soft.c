/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft-dirty tracker (Documentation/admin-guide/mm/soft-dirty.rst): writing "4" to
 * /proc/PID/clear_refs takes the soft-dirty bit and the right to write from all page table
 * entries; the fault at the next write sets the bit again. It shows as bit 55 of pagemap entries,
 * and as PAGE_IS_SOFT_DIRTY of PAGEMAP_SCAN.
 *
 * Why clean is clean. The bit is part of the page table entry, and goes with it where the entry
 * goes (swap, migration, splitting of huge pages). Pages in a mapping made after the clearing are
 * all reported as dirty, because the mapping as a whole has the mark (VM_SOFTDIRTY); even where
 * merging with an older neighbour loses that mark, a page gets its data by a fault, which sets the
 * bit. mremap() sets the bit in what it moves, but for one case: where old and new address allow,
 * the kernel moves a whole page table, 2 MiB, without a look at its entries, so that clean pages of
 * another place stand there now (seen on 6.1).
 *
 * For that case there are witnesses: when a round begins, the frames of up to eight pages of each
 * such 2 MiB are noted, in a memfd that goes to the keeper. A page that is clean and in the same
 * frame at the next round shows that the table is the old one. A clean page in another frame, or
 * clean pages and no witness left, and the whole mapping counts as written; so does one whose pages
 * may be merged with others (MADV_MERGEABLE), because there frames tell nothing. Frames take
 * CAP_SYS_ADMIN: without it nothing larger than 2 MiB is ever clean.
 *
 * Data that a device puts into a page that it had pinned before the clearing isn't seen; the note
 * on direct I/O in track_uffd.c holds here, too.
 *
 * Reading and clearing aren't one step: what is written between them is lost, so the target stands
 * still meanwhile. Whoever else clears (other checkpoint tools, profilers) destroys what we know
 * without a trace: there is one such bit for everybody.
 *
 * The bits of a new process are its parent's or set; no state of ours is involved, so after an
 * execve() (everything is dirty) the tracker simply goes on.
 */
#include "base/auto.h"
#include "base/io.h"
#include "kernel/proc.h"
#include "mem/track_kinds.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGE 4096u

static int clear_refs(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	return io_write_file(AT_FDCWD, path, "4");
}

/* In a child, whose pages nobody else cares for: 0, or the errno. */
static int probe_child(void)
{
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile char *p;
	uint64_t before, after;
	int r;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || fd < 0)
		return errno;
	p[0] = p[PAGE] = 1;
	r = clear_refs(getpid());
	if (r < 0)
		return -r;
	p[PAGE] = 2;
	r = io_pread_full(fd, &before, 8, (uintptr_t)p / PAGE * 8);
	if (r >= 0)
		r = io_pread_full(fd, &after, 8, (uintptr_t)p / PAGE * 8 + 8);
	if (r < 0)
		return -r;
	/* Without CONFIG_MEM_SOFT_DIRTY nothing fails, the bit is just never set. */
	return before & PM_SOFT_DIRTY || !(after & PM_SOFT_DIRTY) ? EOPNOTSUPP : 0;
}

static int probe(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(probe_child());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* -------------------------------------------------------------- witnesses */

#define BLOCK_PAGES 512u
#define BLOCK	    ((uint64_t)BLOCK_PAGES * PAGE)
#define SLOTS	    8u /* one witness from each eighth of a block */

struct witness {
	uint64_t va, pfn;
};

static uint64_t first_block(uint64_t start)
{
	return (start + BLOCK - 1) / BLOCK * BLOCK;
}

static bool read_block(int pagemap, uint64_t va, uint64_t *entries)
{
	return io_pread_full(pagemap, entries, BLOCK_PAGES * 8, va / PAGE * 8) >= 0;
}

static bool is_data(uint64_t entry, uint64_t zero_pfn)
{
	return pagescan_entry_wanted(entry, PAGESCAN_DATA, zero_pfn);
}

static bool has_frame(uint64_t entry, uint64_t zero_pfn)
{
	return entry & PM_PRESENT && entry & PM_PFRAME_MASK && is_data(entry, zero_pfn);
}

/* Up to SLOTS of them. */
static size_t choose_witnesses(uint64_t va, const uint64_t *entries, uint64_t zero_pfn,
			       struct witness *ret)
{
	const unsigned int slot = BLOCK_PAGES / SLOTS;
	size_t n = 0;

	for (unsigned int i = 0; i < BLOCK_PAGES; i++) {
		if (!has_frame(entries[i], zero_pfn))
			continue;
		ret[n++] = (struct witness){va + i * PAGE, entries[i] & PM_PFRAME_MASK};
		i = i / slot * slot + slot - 1; /* on to the next slot */
	}
	return n;
}

static int note_range(const struct tracker *tr, int pagemap, const struct track_range *r,
		      uint64_t zero_pfn)
{
	uint64_t entries[BLOCK_PAGES];
	struct witness w[SLOTS];

	for (uint64_t va = first_block(r->start); va + BLOCK <= r->end; va += BLOCK) {
		size_t n;
		int ret;

		if (!read_block(pagemap, va, entries))
			return -EIO;
		n = choose_witnesses(va, entries, zero_pfn, w);
		ret = io_write_full(tr->fd, w, n * sizeof(w[0]));
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int open_pagemap(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Without notes the next round is bigger, no more. */
static void note_witnesses(const struct tracker *tr)
{
	auto_close int pagemap = open_pagemap(tr->pid);
	uint64_t zero_pfn = pagescan_zero_pfn();
	int r = 0;

	if (ftruncate(tr->fd, 0) < 0 || lseek(tr->fd, 0, SEEK_SET) < 0 || pagemap < 0)
		return;
	vec_foreach (range, &tr->armed) {
		if (r >= 0)
			r = note_range(tr, pagemap, range, zero_pfn);
	}
	if (r < 0)
		(void)!ftruncate(tr->fd, 0);
}

/* What was noted at the last round, ascending. */
struct notes {
	const struct witness *list;
	size_t n, at;
};

static void notes_open(struct notes *n, int fd)
{
	struct stat st;
	void *p;

	*n = (struct notes){0};
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct witness))
		return;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return;
	n->list = p;
	n->n = (size_t)st.st_size / sizeof(struct witness);
}

static void notes_close(struct notes *n)
{
	if (n->list)
		munmap((void *)n->list, n->n * sizeof(struct witness));
}

/* Is the table of this block the one that it had when the round began? Blocks come ascending. */
static bool is_same_table(struct notes *notes, uint64_t va, const uint64_t *entries,
			  uint64_t zero_pfn)
{
	while (notes->at < notes->n && notes->list[notes->at].va < va)
		notes->at++;
	for (; notes->at < notes->n && notes->list[notes->at].va < va + BLOCK; notes->at++) {
		const struct witness *w = &notes->list[notes->at];
		uint64_t entry = entries[(w->va - va) / PAGE];

		if (has_frame(entry, zero_pfn) && !(entry & PM_SOFT_DIRTY))
			return (entry & PM_PFRAME_MASK) == w->pfn;
	}
	/* No witness is left: it doesn't matter if there is nothing that is called clean. */
	for (size_t i = 0; i < BLOCK_PAGES; i++)
		if (is_data(entries[i], zero_pfn) && !(entries[i] & PM_SOFT_DIRTY))
			return false;
	return true;
}

static bool same_tables(struct notes *notes, int pagemap, const struct vma *v, uint64_t zero_pfn)
{
	uint64_t entries[BLOCK_PAGES];

	for (uint64_t va = first_block(v->start); va + BLOCK <= v->end; va += BLOCK)
		if (!read_block(pagemap, va, entries) ||
		    !is_same_table(notes, va, entries, zero_pfn))
			return false;
	return true;
}

/* ---------------------------------------------------------------- tracker */

static int attach(struct target *t, struct tracker *tr, struct err *err)
{
	tr->fd = memfd_create("torpor-witnesses", MFD_CLOEXEC);
	return tr->fd < 0 ? err_sys(err, -errno, "create a memfd for a tracker") : 0;
}

static bool is_stale(const struct tracker *tr)
{
	return false;
}

static enum track_state state_of(const struct tracker *tr, struct notes *notes, int pagemap,
				 const struct vma *v, uint64_t zero_pfn)
{
	if (!vma_is_trackable(v))
		return TRACK_OFF;
	if (tr->is_new || v->madv & (UINT64_C(1) << MADV_MERGEABLE) ||
	    !same_tables(notes, pagemap, v, zero_pfn))
		return TRACK_NEW;
	return TRACK_ON;
}

static int arm(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
	       struct err *err)
{
	auto_close int pagemap = open_pagemap(tr->pid);
	uint64_t zero_pfn = pagescan_zero_pfn();
	struct notes notes;

	if (proc_is_gone(pagemap))
		return err_gone(err, "pid %d: died", tr->pid);
	if (pagemap < 0)
		return err_sys(err, pagemap, "pid %d: open its pagemap", tr->pid);
	notes_open(&notes, tr->fd);
	tr->armed.len = 0;
	for (size_t i = 0; i < n; i++) {
		states[i] = state_of(tr, &notes, pagemap, &vmas[i], zero_pfn);
		if (states[i] != TRACK_OFF)
			*vec_push(&tr->armed) = (struct track_range){vmas[i].start, vmas[i].end};
	}
	notes_close(&notes);
	return 0;
}

static int restart(struct tracker *tr, struct err *err)
{
	int r = clear_refs(tr->pid);

	if (proc_is_gone(r))
		return err_gone(err, "pid %d: died", tr->pid);
	if (r < 0)
		return err_sys(err, r, "pid %d: write clear_refs", tr->pid);
	note_witnesses(tr);
	tr->is_new = false;
	return 0;
}

const struct tracker_ops track_soft = {
	.probe = probe,
	.attach = attach,
	.is_stale = is_stale,
	.arm = arm,
	.restart = restart,
};
