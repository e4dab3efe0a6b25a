/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/pagemap tells the frame of each page (with CAP_SYS_ADMIN), or its place in swap. Equal
 * entries of two tasks at one address are a page that fork() has left them in common. Bit 56 rules
 * out most pages at once: mapped by one task only.
 *
 * The kernel's merging of equal pages (KSM) makes equal frames as well. Such pages are in mappings
 * with MADV_MERGEABLE only (to take the advice back is to unmerge them), which are left out.
 *
 * All tasks are looked at together, window by window, so that memory is bounded: what is kept of a
 * window are its shareable pages, by address. Mappings that only one task has are never looked at,
 * and in big mappings PAGEMAP_SCAN leads from data to data.
 */
#include "mem/cow.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "image/pages.h"
#include "kernel/uapi/mman.h"
#include "kernel/uapi/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096u

/* 4 MiB of runs. A tree whose sharing is in more pieces gets a bigger image. */
#define RUNS_MAX (256u * 1024)
/* Different pages in one window. Whole families have their pages in common: a few per address. */
#define NODES_MAX (4u * COW_WINDOW)
/* Siblings with different pages at one address: a search must not get long. */
#define CHAIN_MAX 64
/* In mappings from this size on, data is searched for. */
#define BIG_VMA (1024u * PAGE)
/* Unreadable gaps between mappings that are read over. */
#define GAP_MAX (32u * PAGE)
/* Descriptors that are left to others. */
#define SPARE_FDS 64

/* ----------------------------------------------------------------- window */

struct node {
	uint64_t page;
	uint32_t task;
	uint32_t next; /* index + 1 */
};

struct cow_window {
	uint64_t start;
	uint32_t nnodes;
	uint32_t heads[COW_WINDOW]; /* by address: index + 1 */
	struct node nodes[NODES_MAX];
};

struct cow_window *cow_window_new(void)
{
	return xcalloc(1, sizeof(struct cow_window));
}

void cow_window_free(struct cow_window *w)
{
	free(w);
}

void cow_window_begin(struct cow_window *w, uint64_t start)
{
	w->start = start;
	w->nnodes = 0;
	memset(w->heads, 0, sizeof(w->heads));
}

/* Types of swap entries from here on aren't swap files: pages that move, markers. */
#define SWAP_TYPES 23u

/* What identifies a page that others may have as well; 0: nobody has. */
static uint64_t shared_page(uint64_t entry)
{
	uint64_t frame = entry & PM_PFRAME_MASK;

	if (entry & (PM_FILE | PM_GUARD_REGION | PM_MMAP_EXCLUSIVE))
		return 0;
	if (entry & PM_PRESENT)
		return frame ? frame | PM_PRESENT : 0;
	if (entry & PM_SWAP)
		return (frame & 31) < SWAP_TYPES && frame ? frame | PM_SWAP : 0;
	return 0;
}

/* The first task that has this page here: an earlier one, or `task`, which is noted. */
static uint32_t first_owner(struct cow_window *w, size_t at, uint64_t page, uint32_t task)
{
	uint32_t i = w->heads[at];
	int length = 0;

	for (; i; i = w->nodes[i - 1].next, length++)
		if (w->nodes[i - 1].page == page)
			return w->nodes[i - 1].task;
	if (w->nnodes < NODES_MAX && length < CHAIN_MAX) {
		w->nodes[w->nnodes++] = (struct node){page, task, w->heads[at]};
		w->heads[at] = w->nnodes;
	}
	return task;
}

static void add_page(cow_run_vec *runs, uint64_t va, uint32_t owner)
{
	struct cow_run *last = runs->len ? &runs->data[runs->len - 1] : NULL;

	if (last && last->owner == owner && last->start + (uint64_t)last->npages * PAGE == va &&
	    last->npages < UINT32_MAX)
		last->npages++;
	else
		*vec_push(runs) = (struct cow_run){va, 1, owner};
}

void cow_window_add(struct cow_window *w, uint32_t task, uint64_t at, const uint64_t *entries,
		    size_t n, cow_run_vec *ret)
{
	size_t first = (at - w->start) / PAGE;

	for (size_t i = 0; i < n && first + i < COW_WINDOW; i++) {
		uint64_t page = shared_page(entries[i]);
		uint32_t owner;

		if (!page)
			continue;
		owner = first_owner(w, first + i, page, task);
		if (owner != task)
			add_page(ret, at + i * PAGE, owner);
	}
}

/* ---------------------------------------------------------------- reading */

struct seeker {
	int pagemap;	  /* -EBADF: not open */
	size_t vma;	  /* those before it are done */
	uint64_t next;	  /* where it may have shared pages; UINT64_MAX: nowhere */
	uint64_t data_at; /* in a big mapping: nothing before it */
};

struct cow_map {
	cow_run_vec *runs; /* by task */
	size_t ntasks, nruns;
};

struct finder {
	const struct cow_task *tasks;
	size_t n;
	struct seeker *seekers;
	struct cow_window *window;
	struct cow_map *map;
	int fd_limit;
	uint64_t entries[1024];
};

static bool may_share(const struct vma *v)
{
	const uint32_t kernels = VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL | VMA_AREA_GUARD;

	return vma_is_private(v) && !(v->status & kernels) &&
	       (v->flags & MAP_TYPE) != MAP_DROPPABLE && !(v->flags & MAP_HUGETLB) &&
	       !(v->madv & UINT64_C(1) << MADV_MERGEABLE);
}

static int open_pagemap(const struct target *t)
{
	int fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int pagemap_of(struct finder *f, size_t task)
{
	struct seeker *s = &f->seekers[task];

	if (s->pagemap < 0)
		s->pagemap = open_pagemap(f->tasks[task].target);
	return s->pagemap;
}

/* Trees may have more tasks than we may have files. */
static void used_pagemap(struct finder *f, size_t task)
{
	struct seeker *s = &f->seekers[task];

	if (s->pagemap >= f->fd_limit)
		s->pagemap = fd_close(s->pagemap);
}

/* The first page of data in [start, end), or end; start if that can't be told. */
static uint64_t find_data(int pagemap, uint64_t start, uint64_t end)
{
	struct page_region found;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.max_pages = 1,
		.category_inverted = PAGE_IS_PFNZERO | PAGE_IS_FILE,
		.category_mask = PAGE_IS_PFNZERO | PAGE_IS_FILE,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT,
	};
	int n = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	if (n < 0)
		return start;
	return n ? found.start : end;
}

/* Moves a task on to where it may have shared pages at or behind `at`. */
static void seek(struct finder *f, size_t task, uint64_t at)
{
	const struct cow_task *t = &f->tasks[task];
	struct seeker *s = &f->seekers[task];

	for (; s->vma < t->nvmas; s->vma++) {
		const struct vma *v = &t->vmas[s->vma];
		uint64_t start = MAX(at, v->start);

		if (start >= v->end || !may_share(v))
			continue;
		if (v->end - v->start >= BIG_VMA) {
			if (s->data_at < start)
				s->data_at = find_data(pagemap_of(f, task), start, v->end);
			used_pagemap(f, task);
			start = s->data_at;
			if (start >= v->end)
				continue;
		}
		s->next = start;
		return;
	}
	s->next = UINT64_MAX;
}

/* Where the next window begins: the second task comes in there. UINT64_MAX: there is none. */
static uint64_t next_window(struct finder *f, uint64_t at)
{
	uint64_t lowest = UINT64_MAX, second = UINT64_MAX;

	for (size_t i = 0; i < f->n; i++) {
		uint64_t next;

		if (f->seekers[i].next < at)
			seek(f, i, at);
		next = f->seekers[i].next;
		if (next < lowest) {
			second = lowest;
			lowest = next;
		} else if (next < second) {
			second = next;
		}
	}
	return second;
}

static void read_range(struct finder *f, size_t task, uint64_t start, uint64_t end)
{
	int fd = pagemap_of(f, task);
	cow_run_vec *runs = &f->map->runs[task];

	while (fd >= 0 && start < end) {
		size_t want = MIN((end - start) / PAGE, ARRAY_SIZE(f->entries));
		ssize_t got = pread(fd, f->entries, want * 8, (off_t)(start / PAGE * 8));
		size_t before = runs->len;

		if (got < 8)
			break; /* it is gone: what is there isn't shared */
		cow_window_add(f->window, (uint32_t)task, start, f->entries, (size_t)got / 8, runs);
		f->map->nruns += runs->len - before;
		start += (uint64_t)got / 8 * PAGE;
	}
	used_pagemap(f, task);
}

/* The mappings of a task inside a window; small gaps are read with them. */
static void read_window(struct finder *f, size_t task, uint64_t start, uint64_t end)
{
	const struct cow_task *t = &f->tasks[task];
	uint64_t from = 0, to = 0;

	for (size_t i = f->seekers[task].vma; i < t->nvmas && t->vmas[i].start < end; i++) {
		const struct vma *v = &t->vmas[i];

		if (to && v->start >= to + GAP_MAX) {
			read_range(f, task, from, to);
			from = to = 0;
		}
		if (!may_share(v)) {
			/* Nothing of it must be taken for shared. */
			if (to)
				read_range(f, task, from, to);
			from = to = 0;
			continue;
		}
		if (!to)
			from = MAX(MAX(v->start, start), f->seekers[task].next);
		to = MIN(v->end, end);
	}
	if (to > from)
		read_range(f, task, from, to);
}

static void look_at_all(struct finder *f)
{
	uint64_t at = 0;

	while ((at = next_window(f, at)) != UINT64_MAX) {
		uint64_t end = at + (uint64_t)COW_WINDOW * PAGE;

		cow_window_begin(f->window, at);
		for (size_t i = 0; i < f->n; i++)
			if (f->seekers[i].next < end)
				read_window(f, i, at, end);
		if (f->map->nruns > RUNS_MAX) {
			log_info("sharing is in more than %u pieces: the rest is written in full",
				 RUNS_MAX);
			return;
		}
		at = end;
	}
}

/* Frame numbers are for CAP_SYS_ADMIN in the first user namespace. */
static bool frames_are_visible(void)
{
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || io_pread_full(fd, &entry, sizeof(entry), (uintptr_t)&entry / PAGE * 8) < 0)
		return false;
	return entry & PM_PFRAME_MASK;
}

static int highest_fd(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur > 4096)
		return 4096 - SPARE_FDS;
	return (int)lim.rlim_cur - SPARE_FDS;
}

struct cow_map *cow_find(const struct cow_task *tasks, size_t n)
{
	auto_free struct finder *f = NULL;
	auto_free struct seeker *seekers = NULL;
	struct cow_map *m;

	if (n < 2)
		return NULL;
	if (!frames_are_visible()) {
		log_debug("frame numbers can't be seen: shared pages are written for each task");
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	seekers = xcalloc(n, sizeof(*seekers));
	m = xcalloc(1, sizeof(*m));
	*m = (struct cow_map){.runs = xcalloc(n, sizeof(*m->runs)), .ntasks = n};
	f->tasks = tasks;
	f->n = n;
	f->seekers = seekers;
	f->window = cow_window_new();
	f->map = m;
	f->fd_limit = highest_fd();
	for (size_t i = 0; i < n; i++) {
		seekers[i].pagemap = -EBADF;
		seek(f, i, 0);
	}
	look_at_all(f);
	for (size_t i = 0; i < n; i++)
		fd_close(seekers[i].pagemap);
	cow_window_free(f->window);
	if (m->nruns)
		return m;
	cow_map_free(m);
	return NULL;
}

void cow_map_free(struct cow_map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->ntasks; i++)
		vec_done(&m->runs[i]);
	free(m->runs);
	free(m);
}

const cow_run_vec *cow_map_runs(const struct cow_map *m, size_t task)
{
	static const cow_run_vec none;

	return m ? &m->runs[task] : &none;
}

/* ---------------------------------------------------------- running tasks */

static void still_shared(int owner, int task, const struct cow_run *run, cow_run_vec *ret)
{
	uint64_t x[512], y[512];

	for (uint64_t done = 0; owner >= 0 && task >= 0 && done < run->npages;) {
		size_t n = MIN(run->npages - done, ARRAY_SIZE(x));
		uint64_t va = run->start + done * PAGE;

		if (io_pread_full(owner, x, n * 8, va / PAGE * 8) < 0 ||
		    io_pread_full(task, y, n * 8, va / PAGE * 8) < 0)
			return;
		for (size_t i = 0; i < n; i++)
			if (shared_page(x[i]) && shared_page(x[i]) == shared_page(y[i]))
				add_page(ret, va + i * PAGE, run->owner);
		done += n;
	}
}

void cow_still_shared(const struct target *owner, const struct target *task,
		      const struct cow_run *run, cow_run_vec *ret)
{
	auto_close int a = open_pagemap(owner), b = open_pagemap(task);

	still_shared(a, b, run, ret);
}

/* ----------------------------------------------------------------- source */

struct cow_source {
	struct page_source base;
	struct page_source *from;
	const cow_run_vec *runs;
	size_t next; /* of runs */
	struct cow_peers peers;
	cow_run_vec sure; /* what is left of the last one of runs */
	size_t at;	  /* in it */
	int own, owners;  /* pagemaps: of this task, and of task `owner` */
	uint32_t owner;
	struct mem_run rest; /* of what `from` gave */
};

#define HUGE (2u * 1024 * 1024)

/* Splits off the first n pages. */
static void cut(struct mem_run *rest, uint64_t npages, struct mem_run *ret)
{
	*ret = *rest;
	ret->npages = npages;
	rest->start += npages * PAGE;
	rest->npages -= npages;
	/* A part of a huge page isn't one. */
	if (ret->start % HUGE || npages * PAGE % HUGE)
		ret->huge = false;
}

static uint64_t end_of(const struct cow_run *c)
{
	return c->start + (uint64_t)c->npages * PAGE;
}

/*
 * Looks once more at frames: the kernel goes on joining small pages to huge ones in a program that
 * stands still, and what was the zero page for both when sharing was looked for is data now.
 */
static void make_sure(struct cow_source *s, const struct cow_run *c)
{
	s->sure.len = s->at = 0;
	if (!s->peers.targets) {
		*vec_push(&s->sure) = *c;
		return;
	}
	if (s->own < 0)
		s->own = open_pagemap(s->peers.self);
	if (s->owners < 0 || s->owner != c->owner) {
		fd_close(s->owners);
		s->owners = open_pagemap(s->peers.targets[c->owner]);
		s->owner = c->owner;
	}
	still_shared(s->owners, s->own, c, &s->sure);
}

/* The first one that ends behind this address, or NULL. */
static const struct cow_run *shared_at(struct cow_source *s, uint64_t va)
{
	for (;;) {
		for (; s->at < s->sure.len; s->at++)
			if (end_of(&s->sure.data[s->at]) > va)
				return &s->sure.data[s->at];
		while (s->next < s->runs->len && end_of(&s->runs->data[s->next]) <= va)
			s->next++;
		if (s->next == s->runs->len)
			return NULL;
		make_sure(s, &s->runs->data[s->next++]);
	}
}

static int next_run(struct page_source *base, struct mem_run *ret, struct err *err)
{
	struct cow_source *s = container_of(base, struct cow_source, base);
	const struct cow_run *c;
	uint64_t end;

	if (!s->rest.npages) {
		int r = s->from->next(s->from, &s->rest, err);

		if (r <= 0)
			return r;
	}
	c = shared_at(s, s->rest.start);
	end = s->rest.start + s->rest.npages * PAGE;
	if (!c || c->start >= end) {
		cut(&s->rest, s->rest.npages, ret);
	} else if (c->start > s->rest.start) {
		cut(&s->rest, (c->start - s->rest.start) / PAGE, ret);
	} else {
		cut(&s->rest, (MIN(end, end_of(c)) - s->rest.start) / PAGE, ret);
		ret->flags = PE_COW;
		ret->owner = s->peers.vpids[c->owner];
	}
	return 1;
}

static void free_source(struct page_source *base)
{
	struct cow_source *s = container_of(base, struct cow_source, base);

	s->from->free(s->from);
	vec_done(&s->sure);
	fd_close(s->own);
	fd_close(s->owners);
	free(s);
}

struct page_source *cow_source_new(struct page_source *from, const cow_run_vec *runs,
				   const struct cow_peers *peers)
{
	struct cow_source *s = xcalloc(1, sizeof(*s));

	s->base = (struct page_source){.next = next_run, .free = free_source};
	s->from = from;
	s->runs = runs;
	s->peers = *peers;
	s->own = s->owners = -EBADF;
	return &s->base;
}
