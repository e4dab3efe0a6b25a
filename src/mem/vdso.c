/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs keep pointers into the vDSO (libc caches its functions, AT_SYSINFO_EHDR), so that
 * something callable has to be at its old address.
 *
 * Same kernel (equal bytes, equal sizes): arch_prctl(ARCH_MAP_VDSO_64) maps [vvar], [vvar_vclock]
 * and [vdso] in this order from the given address on. The kernel takes the address as a hint, so
 * the result is looked at; and it allows one vDSO per address space.
 *
 * Another kernel: the old code doesn't understand this kernel's [vvar]. The old bytes stay as
 * plain memory, each function that libc uses begins with a jump to the kernel's, and the kernel's
 * vDSO is parked in a free range and marked (vdso_mark.h), so that the next dump knows. In place
 * of the old [vvar] there are zeroes: clock mode 0 is "no clock source", at which the old code
 * makes a system call. That keeps a thread right that was stopped in the middle of it, and the
 * functions that are not redirected: getrandom, whose state has a layout of its own, and those
 * that are too short for a jump.
 */
#include "mem/vdso.h"

#include "base/auto.h"
#include "base/log.h"
#include "kernel/proc.h"
#include "mem/layout.h"
#include "mem/vdso_elf.h"
#include "mem/vdso_mark.h"
#include "remote/build.h"
#include "remote/scratch.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Bounds for what a restore takes for a vDSO: kernels have 1 to 3 pages. */
#define VDSO_MAX_LEN (64 * 1024)

/* ------------------------------------------------------------------ local */

int vdso_local_find(struct vdso_local *ret, struct err *err)
{
	auto_lines struct proc_lines l = PROC_LINES_INIT;
	uint64_t vvar_start = 0, vvar_end = 0;
	char *line;
	int r = proc_lines_open(&l, AT_FDCWD, "/proc/self/maps");

	*ret = (struct vdso_local){0};
	while (r >= 0 && (r = proc_lines_next(&l, &line)) > 0) {
		struct proc_map m;

		if (proc_parse_map(line, &m) < 0)
			continue;
		if (!strncmp(m.name, "[vvar", 5)) {
			if (m.start != vvar_end)
				vvar_start = m.start;
			vvar_end = m.end;
		} else if (!strcmp(m.name, "[vdso]")) {
			ret->bytes = (const uint8_t *)(uintptr_t)m.start;
			ret->len = m.end - m.start;
			ret->vvar_len = vvar_end == m.start ? vvar_end - vvar_start : 0;
		}
	}
	return r < 0 ? err_sys(err, r, "reading /proc/self/maps") : 0;
}

/* ------------------------------------------------------------------ image */

struct old_vdso {
	const struct vma *vdso, *vvar; /* vvar: NULL if there is none beside it */
	uint8_t bytes[VDSO_MAX_LEN];
	uint64_t len;
};

/* They may lie in several places. */
static bool gather(const struct page_map *p, uint64_t va, uint8_t *to, uint64_t len)
{
	for (uint64_t n; len; va += n, to += n, len -= n) {
		size_t i = page_map_find(p, va);
		const struct page_piece *piece = &p->pieces[i];

		if (i == p->n || piece->vaddr > va)
			return false;
		n = MIN(len, piece->vaddr + piece->npages * PAGE_LEN - va);
		memcpy(to, piece->src + (va - piece->vaddr), n);
	}
	return true;
}

static int find_old(const struct rmem *m, struct old_vdso *ret, struct err *err)
{
	for (size_t k = 0; k < m->nreal; k++) {
		const struct vma *v = &m->vmas.data[k];

		if (vma_is(v, VMA_AREA_VDSO))
			ret->vdso = v;
		else if (vma_is(v, VMA_AREA_VVAR))
			ret->vvar = v;
	}
	if (!ret->vdso)
		return 0;
	ret->len = ret->vdso->end - ret->vdso->start;
	if (ret->len > VDSO_MAX_LEN || !gather(m->pages, ret->vdso->start, ret->bytes, ret->len))
		return err_input(err, "mm-%u.img: the vDSO's contents are missing", m->vpid);
	return 0;
}

static bool is_same(const struct old_vdso *old, const struct vdso_local *local)
{
	return local->bytes && local->vvar_len && old->vvar && old->vvar->end == old->vdso->start &&
	       old->vvar->end - old->vvar->start == local->vvar_len && old->len == local->len &&
	       memcmp(old->bytes, local->bytes, local->len) == 0;
}

/* --------------------------------------------------------- another kernel */

/* mov rax, imm64; jmp rax. rax is free at the start of any function without varargs. */
#define JUMP_LEN 12

static void write_jump(uint8_t *at, uint64_t to)
{
	at[0] = 0x48;
	at[1] = 0xb8;
	memcpy(at + 2, &to, sizeof(to));
	at[10] = 0xff;
	at[11] = 0xe0;
}

/* Functions with the same contract in all kernels. */
static const char *const redirected[] = {
	"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time",
	"__vdso_getcpu",	"__vdso_clock_getres",
};

size_t vdso_redirect(uint8_t *old, uint64_t old_len, const struct vdso_local *local, uint64_t at)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(redirected); i++) {
		uint64_t from, from_size, to, to_size;

		if (!vdso_find(old, old_len, redirected[i], &from, &from_size) ||
		    !vdso_find(local->bytes, local->len, redirected[i], &to, &to_size))
			continue;
		if (from_size < JUMP_LEN)
			continue;
		write_jump(old + from, at + to);
		n++;
	}
	return n;
}

/* A free range for the parked one: of this task's memory, and away from the agent. */
static int find_place(const struct target *t, const struct rmem *m, uint64_t len, uint64_t *ret,
		      struct err *err)
{
	vma_vec agent = {0};
	const vma_vec *lists[] = {&m->vmas, &agent};

	*vec_push(&agent) = (struct vma){
		.start = t->scratch->base.va,
		.end = t->scratch->base.va + BUILD_SCRATCH_LEN,
	};
	*ret = layout_widest_hole(lists, ARRAY_SIZE(lists), len);
	vec_done(&agent);
	return *ret ? 0 : err_input(err, "pid %u: no room for a second vDSO", m->vpid);
}

/* The kernel takes the address as a hint: advice that changes nothing fails where nothing is. */
static void map_local(struct batch *b, uint64_t at, const struct vdso_local *local)
{
	batch_must(b, batch_call(b, SYS_arch_prctl, ARCH_MAP_VDSO_64, at));
	batch_must(b, batch_call(b, SYS_madvise, at, local->vvar_len + local->len, MADV_NORMAL));
}

/* Plain memory in the place of the old one and of its [vvar]. */
static int map_old(struct target *t, const struct old_vdso *old, const struct vdso_local *local,
		   uint64_t parked, struct err *err)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	auto_batch struct batch *b = batch_new(target_leader(t));

	batch_must(b, batch_call(b, SYS_mmap, old->vdso->start, old->len, old->vdso->prot, flags,
				 -1, 0));
	if (old->vvar)
		batch_must(b, batch_call(b, SYS_mmap, old->vvar->start,
					 old->vvar->end - old->vvar->start, old->vvar->prot, flags,
					 -1, 0));
	map_local(b, parked, local);
	TRY(batch_run(b, err));
	return batch_expect_all(b, err);
}

static int replace(struct target *t, const struct rmem *m, struct old_vdso *old,
		   const struct vdso_local *local, struct err *err)
{
	struct vdso_mark mark = {
		.signature = VDSO_MARK_SIGNATURE,
		.orig_vdso = old->vdso->start,
		.version = VDSO_MARK_VERSION,
		.orig_vvar = old->vvar ? old->vvar->start : VDSO_MARK_NO_ADDR,
	};
	uint64_t vdso;
	size_t n;

	TRY(find_place(t, m, local->vvar_len + local->len, &mark.rt_vvar, err));
	vdso = mark.rt_vvar + local->vvar_len;
	TRY(map_old(t, old, local, mark.rt_vvar, err));
	n = vdso_redirect(old->bytes, old->len, local, vdso);
	log_debug("pid %d: %zu functions of the old vDSO at %" PRIx64 " lead to %" PRIx64, t->pid,
		  n, old->vdso->start, vdso);
	TRY(target_poke(t, raddr(old->vdso->start), old->bytes, old->len, err));
	return target_poke(t, raddr(vdso), &mark, sizeof(mark), err);
}

int vdso_restore(struct target *t, const struct rmem *m, const struct vdso_local *local,
		 struct batch *b, struct err *err)
{
	auto_free struct old_vdso *old = xcalloc(1, sizeof(*old));

	TRY(find_old(m, old, err));
	if (!old->vdso)
		return 0;
	if (is_same(old, local)) {
		map_local(b, old->vvar->start, local);
		return 0;
	}
	if (!local->bytes)
		return err_kernel(err, "pid %u: this kernel has no vDSO (vdso=0)", m->vpid);
	log_info("pid %u: its vDSO is of another kernel: redirecting it", m->vpid);
	return replace(t, m, old, local, err);
}
