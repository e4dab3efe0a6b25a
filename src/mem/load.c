/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a task as its images say, checked: behind rmem_load every address is page aligned
 * and below the end of user space, mappings ascend without overlap, and each page in the pagemap
 * belongs to a private mapping. What the kernel checks itself (addresses of PR_SET_MM_MAP, file
 * offsets) is left to it.
 *
 * Refused: what torpor can't build yet (SysV segments, AIO rings, packet sockets, shadow stacks,
 * plugin areas).
 */
#include "mem/restore.h"

#include "base/auto.h"
#include "base/log.h"
#include "image/schema/mm.pb-c.h"
#include "kernel/uapi/mman.h"
#include "mem/layout.h"
#include "mem/plan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define KNOWN_STATUS                                                                               \
	(VMA_AREA_REGULAR | VMA_AREA_STACK | VMA_AREA_VSYSCALL | VMA_AREA_VDSO | VMA_AREA_HEAP |   \
	 VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED | VMA_ANON_PRIVATE |                 \
	 VMA_AREA_SYSVIPC | VMA_AREA_SOCKET | VMA_AREA_VVAR | VMA_AREA_AIORING | VMA_AREA_MEMFD |  \
	 VMA_AREA_SHSTK | VMA_AREA_GUARD | VMA_AREA_UPROBES)
#define BACKING (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED | VMA_ANON_PRIVATE)

/* Of madvise() only what has no effect on contents. */
#define ADVICE(n) (UINT64_C(1) << (n))
#define KNOWN_ADVICE                                                                               \
	(ADVICE(MADV_RANDOM) | ADVICE(MADV_SEQUENTIAL) | ADVICE(MADV_DONTFORK) |                   \
	 ADVICE(MADV_MERGEABLE) | ADVICE(MADV_HUGEPAGE) | ADVICE(MADV_NOHUGEPAGE) |                \
	 ADVICE(MADV_DONTDUMP) | ADVICE(MADV_WIPEONFORK))

#define KNOWN_FLAGS                                                                                \
	(MAP_TYPE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_HUGETLB |     \
	 ((uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT))

struct load {
	uint32_t vpid;
	struct arena *a;
	struct rmem *m;
	struct err *err;
};

static int bad(const struct load *l, const VmaEntry *e, const char *what)
{
	return err_input(l->err, "mm-%u.img: mapping %" PRIx64 "-%" PRIx64 ": %s", l->vpid,
			 e->start, e->end, what);
}

static int refuse(const struct load *l, const VmaEntry *e, const char *what)
{
	return err_refuse(l->err, "end that use in the program before the dump",
			  "mm-%u.img: mapping %" PRIx64 "-%" PRIx64 ": %s isn't supported yet",
			  l->vpid, e->start, e->end, what);
}

static bool aligned(uint64_t v)
{
	return v % PAGE_LEN == 0;
}

static int check_range(const struct load *l, const VmaEntry *e)
{
	if (!aligned(e->start) || !aligned(e->end) || e->start >= e->end || e->end > USER_END ||
	    e->start < USER_START)
		return bad(l, e, "not a range of pages of user space");
	if (!aligned(e->pgoff) || e->pgoff > (uint64_t)INT64_MAX - (e->end - e->start))
		return bad(l, e, "impossible offset");
	return 0;
}

static int check_supported(const struct load *l, const VmaEntry *e)
{
	/* clang-format off */
	static const struct { uint32_t bit; const char *what; } unsupported[] = {
		{VMA_AREA_SYSVIPC, "SysV shared memory"},
		{VMA_AREA_SOCKET, "a mapped packet socket"},
		{VMA_AREA_AIORING, "an asynchronous I/O context"},
		{VMA_AREA_SHSTK, "a shadow stack"},
	};
	/* clang-format on */

	if (e->status & ~KNOWN_STATUS)
		return refuse(l, e, "an area of a kind that torpor doesn't know");
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (e->status & unsupported[i].bit)
			return refuse(l, e, unsupported[i].what);
	return 0;
}

/* One backing, and mmap flags that say the same. */
static int check_backing(const struct load *l, const VmaEntry *e)
{
	uint32_t type = e->flags & MAP_TYPE;
	bool shared = e->status & (VMA_FILE_SHARED | VMA_ANON_SHARED);
	bool file = e->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED);

	if (!(e->status & VMA_AREA_REGULAR) || __builtin_popcount(e->status & BACKING) != 1)
		return bad(l, e, "unclear what is mapped");
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_DROPPABLE &&
	    type != MAP_SHARED_VALIDATE)
		return bad(l, e, "neither shared nor private");
	if ((type == MAP_SHARED || type == MAP_SHARED_VALIDATE) != shared ||
	    (type == MAP_DROPPABLE && !(e->status & VMA_ANON_PRIVATE)))
		return bad(l, e, "shared and private at once");
	if (file && (!e->shmid || e->shmid > UINT32_MAX))
		return bad(l, e, "no file");
	if (e->prot & ~(uint32_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
		return bad(l, e, "unknown protection");
	if (e->has_madv && (e->madv & ~KNOWN_ADVICE))
		return bad(l, e, "unknown madvise bits");
	if (e->has_fdflags && (e->fdflags & ~(uint32_t)O_ACCMODE || e->fdflags == O_ACCMODE))
		return bad(l, e, "unknown open flags");
	return 0;
}

static struct vma from_entry(const VmaEntry *e)
{
	struct vma v = {
		.start = e->start,
		.end = e->end,
		.pgoff = e->pgoff,
		.shmid = e->shmid,
		.prot = e->prot,
		.flags = e->flags & KNOWN_FLAGS,
		.status = e->status,
		.madv = e->has_madv ? e->madv : 0,
		.fdflags = -1,
	};

	if (vma_needs_file(&v)) {
		if (e->has_fdflags)
			v.fdflags = e->fdflags;
		else
			v.fdflags = (v.status & VMA_FILE_SHARED) && (v.prot & PROT_WRITE)
					    ? O_RDWR
					    : O_RDONLY;
	}
	if (v.status & (VMA_ANON_PRIVATE | VMA_ANON_SHARED))
		v.flags |= MAP_ANONYMOUS;
	if ((v.flags & MAP_TYPE) == MAP_SHARED_VALIDATE) /* would refuse our other flags */
		v.flags = (v.flags & ~(uint32_t)MAP_TYPE) | MAP_SHARED;
	return v;
}

static int load_vma(const struct load *l, const VmaEntry *e, size_t *nreal)
{
	vma_vec *vmas = &l->m->vmas;

	if (e->status & VMA_AREA_VSYSCALL)
		return 0; /* the kernel's: there or not */
	TRY(check_range(l, e));
	TRY(check_supported(l, e));
	if (e->status & VMA_AREA_GUARD) {
		if (*nreal < vmas->len && vmas->data[vmas->len - 1].end > e->start)
			return bad(l, e, "guards don't ascend");
		*vec_push(vmas) = (struct vma){
			.start = e->start, .end = e->end, .status = VMA_AREA_GUARD, .fdflags = -1};
		return 0;
	}
	TRY(check_backing(l, e));
	if (*nreal < vmas->len)
		return bad(l, e, "behind the guards");
	if (*nreal && vmas->data[*nreal - 1].end > e->start)
		return bad(l, e, "mappings don't ascend");
	*vec_push(vmas) = from_entry(e);
	*nreal = vmas->len;
	return 0;
}

/* Guards turn pages into nothing: they may only touch mappings that there are. */
static int check_guards(const struct load *l, size_t nreal)
{
	for (size_t i = nreal; i < l->m->vmas.len; i++) {
		const struct vma *g = &l->m->vmas.data[i];

		for (uint64_t at = g->start; at < g->end;) {
			const struct vma *v = layout_find(&l->m->vmas, nreal, at);

			if (!v || v->start > at || (v->status & (VMA_AREA_VDSO | VMA_AREA_VVAR)))
				return err_input(l->err,
						 "mm-%u.img: guard %" PRIx64 "-%" PRIx64
						 " lies outside of mappings",
						 l->vpid, g->start, g->end);
			at = v->end;
		}
	}
	return 0;
}

static bool takes_pages(const struct vma *v)
{
	return vma_is_private(v) && !vma_is(v, VMA_AREA_VVAR) &&
	       (v->flags & MAP_TYPE) != MAP_DROPPABLE;
}

/* A piece may reach over several adjacent mappings. */
static int check_piece(const struct load *l, const struct page_piece *p, size_t nreal)
{
	const char *name = l->m->pages->name;
	uint64_t end = p->vaddr + p->npages * PAGE_LEN;

	if (p->vaddr > USER_END || p->npages > (USER_END - p->vaddr) / PAGE_LEN)
		return err_input(l->err, "%s: pages beyond user space", name);
	for (uint64_t at = p->vaddr; at < end;) {
		const struct vma *v = layout_find(&l->m->vmas, nreal, at);

		if (!v || v->start > at || !takes_pages(v))
			return err_input(l->err, "%s: page %" PRIx64 " isn't of a private mapping",
					 name, at);
		at = v->end;
	}
	return 0;
}

/* Those of shared objects are only asked for here, so that what is wrong with them shows early. */
static int load_pages(const struct load *l, struct page_store *store)
{
	struct rmem *m = l->m;

	m->knows_cow = page_store_knows_cow(store);
	TRY(page_store_map(store, IMG_PAGEMAP, l->vpid, /* optional= */ false, &m->pages, l->err));
	for (size_t i = 0; i < m->pages->n; i++)
		TRY(check_piece(l, &m->pages->pieces[i], m->nreal));
	for (size_t i = 0; i < m->nreal; i++) {
		const struct vma *v = &m->vmas.data[i];
		const struct page_map *p;

		if (v->status & VMA_ANON_SHARED)
			TRY(page_store_map(store, IMG_PAGEMAP_SHMEM, v->shmid, /* optional= */ true,
					   &p, l->err));
	}
	return 0;
}

static void take_auxv(struct load *l, const MmEntry *mm)
{
	size_t head = mm->n_mm_saved_auxv, tail = mm->n_saved_auxv_tail;
	uint64_t *all = arena_array_of(l->a, uint64_t, head + tail);

	if (head)
		memcpy(all, mm->mm_saved_auxv, head * sizeof(*all));
	if (tail)
		memcpy(all + head, mm->saved_auxv_tail, tail * sizeof(*all));
	l->m->auxv = all;
	l->m->nauxv = head + tail;
}

static int load_mm(struct load *l, const MmEntry *mm)
{
	struct rmem *m = l->m;
	size_t nreal = 0;

	m->start_code = mm->mm_start_code;
	m->end_code = mm->mm_end_code;
	m->start_data = mm->mm_start_data;
	m->end_data = mm->mm_end_data;
	m->start_stack = mm->mm_start_stack;
	m->start_brk = mm->mm_start_brk;
	m->brk = mm->mm_brk;
	m->arg_start = mm->mm_arg_start;
	m->arg_end = mm->mm_arg_end;
	m->env_start = mm->mm_env_start;
	m->env_end = mm->mm_env_end;
	take_auxv(l, mm);
	m->dumpable = mm->has_dumpable ? mm->dumpable : 1;
	m->has_thp_disabled = mm->has_thp_disabled;
	m->thp_disabled = mm->thp_disabled;
	m->exe_file_id = mm->exe_file_id;
	if (mm->n_aios)
		return err_refuse(l->err, "let the program call io_destroy before the dump",
				  "mm-%u.img: an asynchronous I/O context isn't supported yet",
				  l->vpid);
	for (size_t i = 0; i < mm->n_vmas; i++)
		TRY(load_vma(l, mm->vmas[i], &nreal));
	TRY(check_guards(l, nreal));
	m->nreal = nreal;
	return 0;
}

int rmem_load(const struct img_dir *dir, struct page_store *store, uint32_t vpid, struct arena *a,
	      struct rmem **ret, struct err *err)
{
	struct rmem *m = xcalloc(1, sizeof(*m));
	struct load l = {.vpid = vpid, .a = a, .m = m, .err = err};
	MmEntry *mm;
	int r;

	m->vpid = vpid;
	r = img_read_one(dir, IMG_MM, vpid, a, &mm, err);
	if (r == 0)
		r = load_mm(&l, mm);
	if (r == 0)
		r = load_pages(&l, store);
	if (r < 0) {
		rmem_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void rmem_free(struct rmem *m)
{
	if (!m)
		return;
	vec_done(&m->vmas);
	vec_done(&m->held);
	vec_done(&m->over);
	if (m->plan)
		mem_plan_done(m->plan);
	free(m->plan);
	free(m);
}
