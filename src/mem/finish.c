/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes when the memory is in place and all children have been cloned, since it would be in
 * their way (MADV_DONTFORK, MADV_WIPEONFORK, guards, the vDSO).
 *
 * PR_SET_MM_MAP (CONFIG_CHECKPOINT_RESTORE) sets all addresses at once and needs no capability;
 * its exe_fd needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
 */
#include "mem/restore.h"

#include "base/auto.h"
#include "base/log.h"
#include "kernel/uapi/mman.h"
#include "mem/common.h"
#include "mem/fill.h"
#include "mem/layout.h"
#include "mem/plan.h"
#include "mem/vdso.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct finish {
	struct target *t;
	const struct rmem *m;
	const struct mem_opener *opener;
	struct batch *b;
};

static int run(struct finish *f, struct err *err)
{
	TRY(batch_run(f->b, err));
	TRY(batch_expect_all(f->b, err));
	batch_reset(f->b);
	return 0;
}

static int add(struct finish *f, struct err *err, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	if (!batch_has_room(f->b, 1, 0))
		TRY(run(f, err));
	batch_must(f->b, batch_call(f->b, nr, a0, a1, a2));
	return 0;
}

/* ------------------------------------------------------------------ pages */

/* Its children are cloned: now it gets the pages that it held for them as its own (siblings.c). */
static int take_own_pages(struct finish *f, struct err *err)
{
	struct mem_plan p;
	int r = 0;

	if (!f->m->over.len && !f->m->held.len)
		return 0;
	mem_plan_own_pages(&p, f->m);
	for (size_t i = 0; r == 0 && i < p.unmap.len; i++)
		r = add(f, err, SYS_munmap, p.unmap.data[i].start,
			p.unmap.data[i].end - p.unmap.data[i].start, 0);
	for (size_t i = 0; r == 0 && i < p.drop.len; i++)
		r = add(f, err, SYS_madvise, p.drop.data[i].start,
			p.drop.data[i].end - p.drop.data[i].start, MADV_DONTNEED);
	if (r == 0)
		r = run(f, err);
	if (r == 0)
		r = fill_pages(f->t, p.fill.data, p.fill.len, /* uffd= */ -1,
			       f->opener->common->pool, err);
	log_debug("pid %d: has its own pages in %zu places", f->t->pid, p.fill.len + p.drop.len);
	mem_plan_done(&p);
	return r;
}

/* ----------------------------------------------------------------- advice */

static int advise(struct finish *f, struct err *err)
{
	for (size_t i = 0; i < f->m->nreal; i++) {
		const struct vma *v = &f->m->vmas.data[i];
		uint64_t len = v->end - v->start;

		if (vma_is_kernels(v))
			continue;
		/* Droppable memory is DONTDUMP and WIPEONFORK by nature. */
		for (uint64_t rest = (v->flags & MAP_TYPE) == MAP_DROPPABLE ? 0 : v->madv; rest;
		     rest &= rest - 1)
			TRY(add(f, err, SYS_madvise, v->start, len,
				(uint64_t)__builtin_ctzll(rest)));
	}
	for (size_t i = f->m->nreal; i < f->m->vmas.len; i++) {
		const struct vma *g = &f->m->vmas.data[i];

		TRY(add(f, err, SYS_madvise, g->start, g->end - g->start, MADV_GUARD_INSTALL));
	}
	return 0;
}

/* -------------------------------------------------------------- addresses */

/*
 * The kernel refuses (EBUSY) to change the executable while the old one is mapped. A task starts
 * with torpor's own; if that is what it had, all is well.
 */
static int check_exe(struct finish *f, int fd, int64_t ret, struct err *err)
{
	struct stat is, wanted;

	if (ret == -EBUSY && fstatat(f->t->proc, "exe", &is, 0) == 0 && fstat(fd, &wanted) == 0 &&
	    is.st_dev == wanted.st_dev && is.st_ino == wanted.st_ino)
		return 0;
	return err_sys(err, (int)ret, "pid %d: setting the executable (CAP_CHECKPOINT_RESTORE)",
		       f->t->pid);
}

static size_t add_mm_map(struct finish *f, uint32_t exe_fd)
{
	const struct rmem *m = f->m;
	const struct prctl_mm_map map = {
		.start_code = m->start_code,
		.end_code = m->end_code,
		.start_data = m->start_data,
		.end_data = m->end_data,
		.start_brk = m->start_brk,
		.brk = m->brk,
		.start_stack = m->start_stack,
		.arg_start = m->arg_start,
		.arg_end = m->arg_end,
		.env_start = m->env_start,
		.env_end = m->env_end,
		.auxv = exe_fd == UINT32_MAX && m->nauxv
				? (__u64 *)(uintptr_t)batch_put(f->b, m->auxv, m->nauxv * 8).va
				: NULL,
		.auxv_size = exe_fd == UINT32_MAX ? (__u32)(m->nauxv * 8) : 0,
		.exe_fd = exe_fd,
	};

	return batch_call(f->b, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP,
			  batch_put(f->b, &map, sizeof(map)).va, sizeof(map), 0);
}

static int set_addresses(struct finish *f, struct err *err)
{
	struct fd_install exe = {.fd = -EBADF, .num = 0};
	size_t i;

	if (f->m->nauxv > 128)
		return err_input(err, "mm-%u.img: an auxiliary vector of %zu words", f->m->vpid,
				 f->m->nauxv);
	if (!batch_has_room(f->b, 3, 4096))
		TRY(run(f, err));
	batch_must(f->b, add_mm_map(f, UINT32_MAX));
	if (!f->m->exe_file_id)
		return run(f, err);
	exe.fd = f->opener->open(f->opener->ctx, f->m->exe_file_id, O_RDONLY, err);
	if (exe.fd < 0)
		return err_in(err, "executable of pid %u", f->m->vpid);
	TRY(target_install_fds(f->t, &exe, 1, err));
	/* On its own, so that its failure can be told from the others'. */
	i = add_mm_map(f, 0);
	batch_must(f->b, batch_call(f->b, SYS_close, 0));
	TRY(batch_run(f->b, err));
	TRY(batch_expect_all(f->b, err));
	if (batch_ret(f->b, i) < 0)
		return check_exe(f, exe.fd, batch_ret(f->b, i), err);
	return 0;
}

int rmem_finish(struct target *t, const struct rmem *m, const struct mem_opener *opener,
		struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	struct finish f = {.t = t, .m = m, .opener = opener, .b = b};
	int r = take_own_pages(&f, err);

	if (r == 0)
		r = vdso_restore(t, m, &opener->common->vdso, b, err);
	if (r == 0)
		r = advise(&f, err);
	if (r == 0)
		r = set_addresses(&f, err);
	return r < 0 ? err_in(err, "memory of pid %u", m->vpid) : 0;
}

int rmem_finish_late(struct target *t, const struct rmem *m, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));

	/* 2 (readable by root only) can't be set by prctl; 0 is its nearest. */
	batch_must(b, batch_call(b, SYS_prctl, PR_SET_DUMPABLE, m->dumpable == 1, 0, 0, 0));
	if (m->has_thp_disabled && m->thp_disabled)
		batch_must(b, batch_call(b, SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0));
	TRY(batch_run(b, err));
	return batch_expect_all(b, err);
}

/* ----------------------------------------------------------------- common */

int mem_common_new(struct page_store *store, struct pool *pool, struct mem_common **ret,
		   struct err *err)
{
	struct mem_common *c = xcalloc(1, sizeof(*c));
	int r = vdso_local_find(&c->vdso, err);

	c->store = store;
	c->pool = pool;
	if (r < 0) {
		mem_common_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void mem_common_free(struct mem_common *c)
{
	if (!c)
		return;
	shm_objects_done(&c->shm);
	free(c);
}

int rmem_find_hole(struct rmem *const *all, size_t n, uint64_t len, uint64_t *ret, struct err *err)
{
	const vma_vec **lists = xcalloc(n, sizeof(*lists));
	uint64_t at;

	for (size_t i = 0; i < n; i++)
		lists[i] = &all[i]->vmas;
	at = layout_widest_hole(lists, n, len);
	free(lists);
	if (!at)
		return err_input(
			err, "no range of %" PRIu64 " bytes is free in all tasks of the tree", len);
	*ret = at;
	return 0;
}
