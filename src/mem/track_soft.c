/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft-dirty tracker (Documentation/admin-guide/mm/soft-dirty.rst): writing "4" to
 * /proc/PID/clear_refs takes the soft-dirty bit and the right to write from all page table
 * entries; the fault at the next write sets the bit again. It shows as bit 55 of pagemap entries,
 * and as PAGE_IS_SOFT_DIRTY of PAGEMAP_SCAN.
 *
 * Why clean is clean. The bit is part of the page table entry, and goes with it where the entry
 * goes (swap, migration, splitting of huge pages); mremap() sets it. Pages in a mapping made after
 * the clearing are all reported as dirty, because the mapping as a whole has the mark
 * (VM_SOFTDIRTY); even where merging with an older neighbour loses that mark, a page gets its
 * data by a fault, which sets the bit. Data that a device puts into a page that it had pinned
 * before the clearing isn't seen; the note on direct I/O in track_uffd.c holds here, too.
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

static int attach(struct target *t, struct tracker *tr, struct err *err)
{
	return 0;
}

static bool is_stale(const struct tracker *tr)
{
	return false;
}

/* Mappings need nothing, and a new one is dirty as a whole. */
static int arm(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
	       struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!vma_is_trackable(&vmas[i]))
			states[i] = TRACK_OFF;
		else
			states[i] = tr->is_new ? TRACK_NEW : TRACK_ON;
	}
	return 0;
}

static int restart(struct tracker *tr, struct err *err)
{
	int r = clear_refs(tr->pid);

	if (proc_is_gone(r))
		return err_gone(err, "pid %d: died", tr->pid);
	if (r < 0)
		return err_sys(err, r, "pid %d: write clear_refs", tr->pid);
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
