/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind of a mapping follows from its name, its device and its VmFlags.
 *
 * Anonymous shared memory, memfds and SysV segments are files on one internal tmpfs; the name
 * tells which. A regular file may carry any of these names too, hence the look at the device.
 *
 * Refused: what belongs to the kernel or to a device (io_uring, AIO rings, perf buffers, packet
 * sockets, device memory), what has no place in the image format (userfaultfd ranges), and what
 * torpor can't build again yet (SysV segments, deleted files of hugetlbfs, shadow stacks).
 */
#include "mem/classify.h"

#include "base/auto.h"
#include "base/parse.h"
#include "kernel/uapi/mman.h"

#include <inttypes.h>
#include <string.h>

static int refuse(struct err *err, const struct smaps_entry *e, const char *what, const char *hint)
{
	return err_refuse(err, hint, "mapping %" PRIx64 "-%" PRIx64 "%s%s: %s", e->start, e->end,
			  e->path ? " " : "", e->path ? e->path : "", what);
}

/* Mappings that aren't files although they have a name and an inode. */
static const struct {
	const char *prefix, *what, *hint;
} unsupported_names[] = {
	{"anon_inode:[io_uring]", "an io_uring ring isn't supported yet",
	 "let the program close its io_uring instance before the dump"},
	{"anon_inode:[perf_event]", "a perf event buffer can't be carried over",
	 "stop profiling the program before the dump"},
	{"anon_inode:", "memory of a kernel object that can't be carried over",
	 "let the program unmap it before the dump"},
	{"/[aio] (deleted)", "an asynchronous I/O context (io_setup) isn't supported yet",
	 "let the program call io_destroy before the dump"},
	{"/secretmem (deleted)", "secret memory (memfd_secret) can't be read by anybody else",
	 "let the program unmap it before the dump"},
	{"socket:", "a mapped packet socket isn't supported yet",
	 "let the program close the socket before the dump"},
	{"/dmabuf:", "a DMA buffer is device memory", "let the program unmap it before the dump"},
};

static int refuse_special(const struct smaps_entry *e, struct err *err)
{
	for (size_t i = 0; e->path && i < ARRAY_SIZE(unsupported_names); i++)
		if (str_after(e->path, unsupported_names[i].prefix))
			return refuse(err, e, unsupported_names[i].what, unsupported_names[i].hint);
	if (e->flags & (SF_IO | SF_PFNMAP | SF_MIXEDMAP))
		return refuse(err, e, "device memory can't be carried over",
			      "let the program close the device before the dump");
	if (e->flags & SF_UFFD)
		return refuse(err, e, "registered with userfaultfd",
			      "let the program unregister it, or end the tool that tracks it");
	/* The kernel itself takes a key for memory that may only be executed. */
	if (e->pkey && e->prot != PROT_EXEC)
		return refuse(err, e, "memory protection keys aren't supported yet",
			      "let the program free its keys (pkey_free) before the dump");
	if (e->flags & SF_SHADOWSTACK)
		return refuse(err, e, "shadow stacks aren't supported yet",
			      "start the program with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
	return 0;
}

static uint64_t madvise_bits(uint32_t flags)
{
	/* clang-format off */
	static const struct { uint32_t flag; int advice; } map[] = {
		{SF_RAND_READ, MADV_RANDOM},	  {SF_SEQ_READ, MADV_SEQUENTIAL},
		{SF_DONTCOPY, MADV_DONTFORK},	  {SF_MERGEABLE, MADV_MERGEABLE},
		{SF_HUGEPAGE, MADV_HUGEPAGE},	  {SF_NOHUGEPAGE, MADV_NOHUGEPAGE},
		{SF_DONTDUMP, MADV_DONTDUMP},	  {SF_WIPEONFORK, MADV_WIPEONFORK},
	};
	/* clang-format on */
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (flags & map[i].flag)
			bits |= UINT64_C(1) << map[i].advice;
	return bits;
}

static uint32_t mmap_flags(const struct smaps_entry *e)
{
	uint32_t flags = e->shared ? MAP_SHARED : MAP_PRIVATE;

	if (e->flags & SF_DROPPABLE)
		flags = MAP_DROPPABLE;
	if (e->flags & SF_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (e->flags & SF_LOCKED)
		flags |= MAP_LOCKED;
	if (e->flags & SF_NORESERVE)
		flags |= MAP_NORESERVE;
	if (e->flags & SF_HUGETLB)
		flags |= MAP_HUGETLB | (uint32_t)(__builtin_ctz(e->page_kib) + 10)
					       << MAP_HUGE_SHIFT;
	return flags;
}

/* Areas that the kernel makes by itself; 0 if it is none of them. */
static uint32_t kernel_area(const char *path)
{
	if (!strcmp(path, "[vdso]"))
		return VMA_AREA_REGULAR | VMA_ANON_PRIVATE | VMA_AREA_VDSO;
	if (str_after(path, "[vvar"))
		return VMA_AREA_REGULAR | VMA_ANON_PRIVATE | VMA_AREA_VVAR;
	if (!strcmp(path, "[vsyscall]"))
		return VMA_ANON_PRIVATE | VMA_AREA_VSYSCALL;
	return 0;
}

static bool is_anonymous(const struct smaps_entry *e)
{
	/* Names like [heap], [stack] and [anon:...] (PR_SET_VMA_ANON_NAME) come without inode. */
	return !e->shared && !e->ino && (!e->path || e->path[0] == '[');
}

static int classify_shmem(const struct smaps_entry *e, struct vma *v, struct err *err)
{
	if (str_after(e->path, "/SYSV"))
		return refuse(err, e, "SysV shared memory of the program isn't supported yet",
			      "let the program detach it (shmdt) before the dump");
	if (!str_after(e->path, "/memfd:") && strcmp(e->path, "/dev/zero (deleted)") != 0 &&
	    !str_after(e->path, "[anon_shmem:"))
		return refuse(err, e, "memory of a kernel object that can't be carried over",
			      "let the program unmap it before the dump");
	v->status |= VMA_AREA_MEMFD;
	return 0;
}

static int classify_hugetlb(const struct smaps_entry *e, struct vma *v, struct err *err)
{
	if (!str_ends(e->path, " (deleted)"))
		return 0; /* a file on a hugetlbfs mount: stays where it is */
	if (str_after(e->path, "/memfd:") ||
	    (e->shared && !strcmp(e->path, "/anon_hugepage (deleted)"))) {
		v->status |= VMA_AREA_MEMFD;
		return 0;
	}
	if (strcmp(e->path, "/anon_hugepage (deleted)") != 0)
		return refuse(err, e, "a deleted file of huge pages isn't supported yet",
			      "let the program use memfd_create, or keep the file's name");
	v->status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE;
	v->flags |= MAP_ANONYMOUS;
	v->pgoff = 0;
	return 0;
}

static int classify_file(const struct classify_ctx *ctx, const struct smaps_entry *e, struct vma *v,
			 struct err *err)
{
	v->status = VMA_AREA_REGULAR | (e->shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE);
	if (!e->path)
		return refuse(err, e, "a mapping of an object without name",
			      "let the program unmap it before the dump");
	if (e->dev == ctx->shm_dev)
		return classify_shmem(e, v, err);
	if (e->flags & SF_HUGETLB)
		return classify_hugetlb(e, v, err);
	if (str_after(e->path, "/dev/") && !str_after(e->path, "/dev/shm/"))
		return CLASSIFY_DEVICE;
	return 0;
}

int classify(const struct classify_ctx *ctx, const struct smaps_entry *e, struct vma *ret,
	     struct err *err)
{
	struct vma v = {
		.start = e->start,
		.end = e->end,
		.prot = e->prot,
		.flags = mmap_flags(e),
		.madv = madvise_bits(e->flags),
		.fdflags = -1,
		.ino = e->ino,
		.dev = e->dev,
		.path = e->path,
	};
	uint32_t area = e->path ? kernel_area(e->path) : 0;
	int r = CLASSIFY_VMA;

	if (e->path && !strcmp(e->path, "[uprobes]"))
		return CLASSIFY_UPROBES;
	if (area) {
		v.status = area;
		v.flags |= MAP_ANONYMOUS;
	} else {
		TRY(refuse_special(e, err));
		if (is_anonymous(e)) {
			v.status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE;
			if (e->path && !strcmp(e->path, "[heap]"))
				v.status |= VMA_AREA_HEAP;
			v.flags |= MAP_ANONYMOUS;
		} else {
			v.pgoff = e->pgoff;
			r = classify_file(ctx, e, &v, err);
			TRY(r);
		}
	}
	*ret = v;
	return r;
}

int classify_all(const struct classify_ctx *ctx, const smaps_vec *in, vma_vec *ret,
		 index_vec *devices, bool *ret_uprobes, struct err *err)
{
	vec_foreach (e, in) {
		struct vma *last = ret->len ? &ret->data[ret->len - 1] : NULL;
		struct vma v;
		int r = classify(ctx, e, &v, err);

		TRY(r);
		if (r == CLASSIFY_UPROBES) {
			*ret_uprobes = true;
			continue;
		}
		if (r == CLASSIFY_DEVICE)
			*vec_push(devices) = ret->len;
		/* [vvar] and [vvar_vclock] (6.13) stand side by side and are one thing. */
		if (last && vma_is(&v, VMA_AREA_VVAR) && vma_is(last, VMA_AREA_VVAR) &&
		    last->end == v.start)
			last->end = v.end;
		else
			*vec_push(ret) = v;
	}
	return 0;
}
