/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out a plan (plan.h): unmap, cut and grow what was inherited, map what is new with its
 * final protection (all ways to fill it work regardless), drop, fill. Everything is collected into
 * batches; files are opened by us and lent for the mmap calls at low descriptor numbers.
 */
#include "mem/restore.h"

#include "base/auto.h"
#include "base/log.h"
#include "kernel/uapi/mman.h"
#include "mem/common.h"
#include "mem/fill.h"
#include "mem/layout.h"
#include "mem/plan.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <inttypes.h>
#include <sys/syscall.h>

/* So many different files are lent at once. */
#define FILES_AT_ONCE 256

struct build_mem {
	struct target *t;
	const struct mem_opener *opener;
	struct batch *b;
	bool pending; /* calls in b */
};

/* ---------------------------------------------------------------- batches */

static int run(struct build_mem *m, struct err *err)
{
	if (!m->pending)
		return 0;
	TRY(batch_run(m->b, err));
	TRY(batch_expect_all(m->b, err));
	batch_reset(m->b);
	m->pending = false;
	return 0;
}

/* Appends a call; runs what there is when the batch is full. */
static int call_any(struct build_mem *m, struct err *err, long nr, const uint64_t args[6],
		    size_t *ret_index)
{
	if (!batch_has_room(m->b, 1, 0))
		TRY(run(m, err));
	*ret_index = batch_call_args(m->b, nr, args);
	m->pending = true;
	return 0;
}

/* Appends one that must succeed. */
static int call(struct build_mem *m, struct err *err, long nr, const uint64_t args[6])
{
	size_t i;

	TRY(call_any(m, err, nr, args, &i));
	batch_must(m->b, i);
	return 0;
}

#define ARGS(...) ((const uint64_t[6]){__VA_ARGS__})

/* -------------------------------------------------------------- inherited */

static int unmap(struct build_mem *m, const struct mem_plan *p, struct err *err)
{
	struct range pending = {0, 0};

	/* Neighbours in one call; never over a gap, where the agent may live. */
	vec_foreach (r, &p->unmap) {
		if (r->start == pending.end) {
			pending.end = r->end;
			continue;
		}
		if (pending.end)
			TRY(call(m, err, SYS_munmap,
				 ARGS(pending.start, pending.end - pending.start)));
		pending = *r;
	}
	if (pending.end)
		TRY(call(m, err, SYS_munmap, ARGS(pending.start, pending.end - pending.start)));
	return 0;
}

static int adjust_kept(struct build_mem *m, const struct mem_plan *p, struct err *err)
{
	vec_foreach (k, &p->keep) {
		uint64_t start = k->v->start;

		if (k->v->prot != k->base->prot)
			TRY(call(m, err, SYS_mprotect, ARGS(start, k->end - start, k->v->prot)));
		/* In place: what was behind it is unmapped. */
		if (k->end < k->v->end)
			TRY(call(m, err, SYS_mremap,
				 ARGS(start, k->end - start, k->v->end - start, 0)));
	}
	vec_foreach (d, &p->drop)
		TRY(call(m, err, SYS_madvise, ARGS(d->start, d->end - d->start, MADV_DONTNEED)));
	return 0;
}

/* -------------------------------------------------------------------- new */

/* A file that is lent: its descriptor here and there. */
struct lent_file {
	uint64_t id; /* file id or shmid */
	int64_t fdflags;
	bool is_shm;
	int fd;
};

typedef VEC(struct lent_file) lent_vec;

static bool needs_fd(const struct vma *v)
{
	return v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED);
}

static int open_file(struct build_mem *m, const struct vma *v, struct err *err)
{
	const struct mem_opener *o = m->opener;

	if (v->status & VMA_ANON_SHARED)
		return shm_object_open(&o->common->shm, o->common->store, v->shmid,
				       v->pgoff + (v->end - v->start), err);
	return o->open(o->ctx, (uint32_t)v->shmid, (uint32_t)v->fdflags, err);
}

/* The number of the descriptor that this mapping gets: equal files share one. */
static int lent_number(struct build_mem *m, lent_vec *lent, const struct vma *v, struct err *err)
{
	bool is_shm = v->status & VMA_ANON_SHARED;
	int fd;

	/* From the end: mappings of one file lie side by side. */
	for (size_t i = lent->len; i-- > 0;)
		if (lent->data[i].id == v->shmid && lent->data[i].fdflags == v->fdflags &&
		    lent->data[i].is_shm == is_shm)
			return (int)i;
	fd = open_file(m, v, err);
	if (fd < 0)
		return err_in(err, "mapping %" PRIx64 "-%" PRIx64, v->start, v->end);
	*vec_push(lent) = (struct lent_file){v->shmid, v->fdflags, is_shm, fd};
	return (int)lent->len - 1;
}

static int lend(struct build_mem *m, const lent_vec *lent, struct err *err)
{
	struct fd_install fds[FILES_AT_ONCE];

	for (size_t i = 0; i < lent->len; i++)
		fds[i] = (struct fd_install){.fd = lent->data[i].fd, .num = (int)i};
	return lent->len ? target_install_fds(m->t, fds, lent->len, err) : 0;
}

struct mapping {
	const struct map_new *new;
	int fd; /* number in the target, or -1 */
};

typedef VEC(struct mapping) mapping_vec;

static int map_one(struct build_mem *m, const struct mapping *map, struct err *err)
{
	const struct vma *v = map->new->v;
	uint32_t prot = v->prot | (map->new->was_writable ? PROT_WRITE : 0);
	/* Locked later, when its pages are there; never onto something else. */
	uint32_t flags = (v->flags & ~(uint32_t)MAP_LOCKED) | MAP_FIXED_NOREPLACE;

	if (needs_fd(v))
		flags &= ~(uint32_t)MAP_ANONYMOUS;
	TRY(call(m, err, SYS_mmap,
		 ARGS(v->start, v->end - v->start, prot, flags, (uint64_t)(int64_t)map->fd,
		      needs_fd(v) ? v->pgoff : 0)));
	return 0;
}

/* As many mappings from *at on as there are descriptor numbers for. */
static int choose(struct build_mem *m, const struct mem_plan *p, size_t *at, mapping_vec *maps,
		  lent_vec *lent, struct err *err)
{
	for (; *at < p->map.len && lent->len < FILES_AT_ONCE; (*at)++) {
		struct mapping one = {&p->map.data[*at], -1};

		if (needs_fd(one.new->v)) {
			one.fd = lent_number(m, lent, one.new->v, err);
			TRY(one.fd);
		}
		*vec_push(maps) = one;
	}
	return 0;
}

static int map_all(struct build_mem *m, const mapping_vec *maps, const lent_vec *lent,
		   struct err *err)
{
	TRY(lend(m, lent, err));
	vec_foreach (it, maps)
		TRY(map_one(m, it, err));
	return lent->len ? call(m, err, SYS_close_range, ARGS(0, lent->len - 1, 0)) : 0;
}

static int map_some(struct build_mem *m, const struct mem_plan *p, size_t *at, struct err *err)
{
	mapping_vec maps = {0};
	lent_vec lent = {0};
	int r = choose(m, p, at, &maps, &lent, err);

	if (r == 0)
		r = map_all(m, &maps, &lent, err);
	/* The numbers are free for others only when it has run. */
	if (r == 0 && *at < p->map.len)
		r = run(m, err);
	vec_done(&maps);
	vec_done(&lent);
	return r;
}

/* ------------------------------------------------------------------ build */

static int lock(struct build_mem *m, const struct rmem *rm, const struct vma *v, struct err *err)
{
	size_t i;

	if (!(v->flags & MAP_LOCKED))
		return 0;
	TRY(call_any(m, err, SYS_mlock2, ARGS(v->start, v->end - v->start, mem_plan_mlock(rm, v)),
		     &i));
	if (!mem_mlock_may_fail(v))
		batch_must(m->b, i);
	return 0;
}

/*
 * The final protection, and locks: already now so that the border to a neighbour that isn't locked
 * is there when children are forked. Locks aren't inherited, borders are.
 */
static int protect(struct build_mem *m, const struct rmem *rm, const struct mem_plan *p,
		   struct err *err)
{
	vec_foreach (new, &p->map) {
		const struct vma *v = new->v;

		if (new->was_writable)
			TRY(call(m, err, SYS_mprotect, ARGS(v->start, v->end - v->start, v->prot)));
		TRY(lock(m, rm, v, err));
	}
	vec_foreach (k, &p->keep)
		TRY(lock(m, rm, k->v, err));
	return run(m, err);
}

/* The rest of the batch, and a userfaultfd if it is worth it and there may be one; or -1. */
static int run_with_uffd(struct build_mem *m, const struct mem_plan *p, int *ret_uffd,
			 struct err *err)
{
	size_t i;

	*ret_uffd = -1;
	if (!fill_wants_uffd(p->fill.data, p->fill.len))
		return run(m, err);
	TRY(call_any(m, err, SYS_userfaultfd, ARGS(FILL_UFFD_FLAGS), &i));
	TRY(batch_run(m->b, err));
	TRY(batch_expect_all(m->b, err));
	*ret_uffd = (int)batch_ret(m->b, i);
	if (*ret_uffd < 0)
		log_debug("pid %d: filled without userfaultfd (%d)", m->t->pid, *ret_uffd);
	batch_reset(m->b);
	m->pending = false;
	return 0;
}

/* Where there were huge pages there are empty ones now, if the kernel can. */
static int make_huge(struct build_mem *m, const struct mem_plan *p, struct err *err)
{
	range_vec ranges = {0};
	size_t i;
	int r = 0;

	fill_huge_ranges(p->fill.data, p->fill.len, &ranges);
	fill_touch(m->t, &ranges);
	vec_foreach (range, &ranges) {
		if (r == 0)
			r = call_any(m, err, SYS_madvise,
				     ARGS(range->start, range->end - range->start, MADV_COLLAPSE),
				     &i);
	}
	vec_done(&ranges);
	return r < 0 ? r : run(m, err);
}

static int carry_out(struct build_mem *m, const struct rmem *rm, const struct mem_plan *p,
		     struct err *err)
{
	size_t at = 0;
	int uffd;

	TRY(unmap(m, p, err));
	TRY(adjust_kept(m, p, err));
	while (at < p->map.len)
		TRY(map_some(m, p, &at, err));
	TRY(run_with_uffd(m, p, &uffd, err));
	TRY(make_huge(m, p, err));
	TRY(fill_pages(m->t, p->fill.data, p->fill.len, uffd, m->opener->common->pool, err));
	if (uffd >= 0)
		TRY(call(m, err, SYS_close, ARGS((uint64_t)uffd)));
	return protect(m, rm, p, err);
}

static void count(const struct mem_plan *p, struct rmem_stats *stats)
{
	vec_foreach (f, &p->fill)
		stats->pages_restored += f->npages;
	stats->pages_compared += p->pages_compared;
	stats->pages_skipped_cow += p->pages_shared;
}

int rmem_build(struct target *t, const struct rmem *m, const struct rmem *base,
	       const struct mem_opener *opener, struct rmem_stats *stats, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	struct build_mem bm = {.t = t, .opener = opener, .b = b};
	bool is_planned = m->plan && m->plan_base == base;
	struct mem_plan own = {0}, *p = is_planned ? m->plan : &own;
	int r;

	if (!is_planned)
		mem_plan_make(p, m, base);
	r = carry_out(&bm, m, p, err);
	if (r == 0)
		count(p, stats);
	log_debug("pid %d: %zu mappings inherited, %zu new, %zu pieces filled", t->pid, p->keep.len,
		  p->map.len, p->fill.len);
	mem_plan_done(&own);
	return r < 0 ? err_in(err, "memory of pid %u", m->vpid) : 0;
}
