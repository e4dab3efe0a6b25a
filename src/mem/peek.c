/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/peek.h"

#include "kernel/sys.h"
#include "kernel/uapi/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#define PAGE	     4096u
#define ENTRIES_ONCE 512u

void peeker_open(struct peeker *p, const struct target *t)
{
	*p = (struct peeker){
		.target = t,
		.mem = openat(t->proc, "mem", O_RDONLY | O_CLOEXEC),
		.pagemap = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC),
	};
}

void peeker_close(struct peeker *p)
{
	p->mem = fd_close(p->mem);
	p->pagemap = fd_close(p->pagemap);
}

/* How many pages from `i` on are neighbours in memory, at most `max`. */
static size_t neighbours(const struct peek_page *pages, size_t i, size_t n, size_t max)
{
	size_t k = i + 1;

	while (k < n && k - i < max && pages[k].va == pages[k - 1].va + PAGE)
		k++;
	return k - i;
}

/* Which pages nobody else has. Without pagemap none is known to be shared. */
static void find_exclusive(const struct peeker *p, struct peek_page *pages, size_t n)
{
	uint64_t entries[ENTRIES_ONCE];

	for (size_t i = 0, k; i < n; i += k) {
		ssize_t len;

		k = neighbours(pages, i, n, ENTRIES_ONCE);
		len = pread(p->pagemap, entries, k * sizeof(*entries),
			    (off_t)(pages[i].va / PAGE * sizeof(*entries)));
		for (size_t at = 0; at < k; at++)
			pages[i + at].direct = pages[i + at].readable &&
					       (len < (ssize_t)((at + 1) * sizeof(*entries)) ||
						p->mem < 0 || (entries[at] & PM_MMAP_EXCLUSIVE));
	}
}

/* The direct pages from `i` on; returns how many were read, or -ESRCH. */
static ssize_t read_direct(const struct peeker *p, const struct peek_page *pages, size_t n,
			   uint8_t *buf)
{
	struct iovec from[IOV_MAX], to = {buf, 0};
	size_t niov = 0;
	ssize_t r;

	for (size_t i = 0; i < n && pages[i].direct; i++) {
		if (i && pages[i].va == pages[i - 1].va + PAGE)
			from[niov - 1].iov_len += PAGE;
		else if (niov == IOV_MAX)
			break;
		else
			from[niov++] = (struct iovec){(void *)(uintptr_t)pages[i].va, PAGE};
		to.iov_len += PAGE;
	}
	r = sys_vm_readv(p->target->pid, &to, 1, from, niov);
	return r == -ESRCH ? r : MAX(r, 0) / (ssize_t)PAGE;
}

/* Through /proc/PID/mem: neighbours in memory, as far as they may be read. */
static size_t read_mem(const struct peeker *p, const struct peek_page *pages, size_t n,
		       uint8_t *buf)
{
	ssize_t r;

	do
		r = pread(p->mem, buf, n * PAGE, (off_t)pages[0].va);
	while (r < 0 && errno == EINTR);
	return r > 0 ? (size_t)r / PAGE : 0;
}

/* How many from the first on go the same way. */
static size_t indirect_run(const struct peek_page *pages, size_t n)
{
	size_t k = 1, near = neighbours(pages, 0, n, n);

	while (k < near && !pages[k].direct)
		k++;
	return k;
}

int peek_pages(const struct peeker *p, struct peek_page *pages, size_t n, uint8_t *buf)
{
	find_exclusive(p, pages, n);
	for (size_t i = 0; i < n; i++)
		pages[i].got = false;
	for (size_t i = 0; i < n;) {
		ssize_t done = pages[i].direct ? read_direct(p, pages + i, n - i, buf + i * PAGE)
					       : 0;

		if (done < 0)
			return (int)done;
		/* process_vm_readv stops before a page that it can't have; this may. */
		if (!done)
			done = (ssize_t)read_mem(
				p, pages + i, pages[i].direct ? 1 : indirect_run(pages + i, n - i),
				buf + i * PAGE);
		for (ssize_t k = 0; k < done; k++)
			pages[i + (size_t)k].got = true;
		i += MAX((size_t)done, (size_t)1);
	}
	return 0;
}
