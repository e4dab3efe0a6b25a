/* SPDX-License-Identifier: Apache-2.0 */
/*
 * General registers and the x86 block of a record (thread_info).
 *
 * Registers are recorded rewound: a thread caught in a system call makes it again after the
 * restore, and nobody rewinds twice. 32-bit code is refused both ways. Thread-local segments (GDT
 * entries 12 to 14) come from PTRACE_GET_THREAD_AREA; 64-bit programs have none.
 */
#include "remote/arch/x86_64/state.h"
#include "task/arch/core.h"
#include "task/arch/x86_64/fpu.h"

#include "base/auto.h"
#include "image/schema/core.pb-c.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define TLS_FIRST	12 /* GDT_ENTRY_TLS_MIN */
#define TLS_COUNT	3
#define USER_CS		0x33 /* selectors of 64-bit user code and data */
#define USER_SS		0x2b
#define SHSTK_CPUID_ECX (1 << 7) /* leaf 7: user shadow stacks */

#ifndef PTRACE_GET_THREAD_AREA
#define PTRACE_GET_THREAD_AREA 25
#define PTRACE_SET_THREAD_AREA 26
#endif

struct arch_cpu {
	struct xstate_layout layout;
	bool has_shstk;
};

struct arch_core {
	struct arch_state state;
	uint64_t missing; /* XSAVE components that this CPU lacks */
	struct user_desc tls[TLS_COUNT];
	bool has_tls[TLS_COUNT];
};

struct arch_cpu *arch_cpu_new(struct arena *a)
{
	struct arch_cpu *cpu = arena_new_of(a, struct arch_cpu);
	uint32_t ax, bx, cx = 0, dx;

	xstate_layout_local(&cpu->layout);
	if (__get_cpuid_count(7, 0, &ax, &bx, &cx, &dx))
		cpu->has_shstk = cx & SHSTK_CPUID_ECX;
	return cpu;
}

/* ------------------------------------------------------------------ dump */

static UserX86RegsEntry *regs_entry(struct arena *a, const struct user_regs_struct *at_freeze)
{
	struct user_regs_struct r = *at_freeze;
	UserX86RegsEntry *e = arena_new_of(a, UserX86RegsEntry);

	arch_regs_rewind(&r);
	user_x86_regs_entry__init(e);
	e->r15 = r.r15, e->r14 = r.r14, e->r13 = r.r13, e->r12 = r.r12;
	e->r11 = r.r11, e->r10 = r.r10, e->r9 = r.r9, e->r8 = r.r8;
	e->bp = r.rbp, e->bx = r.rbx, e->ax = r.rax, e->cx = r.rcx;
	e->dx = r.rdx, e->si = r.rsi, e->di = r.rdi;
	e->orig_ax = at_freeze->orig_rax;
	e->ip = r.rip, e->sp = r.rsp, e->flags = r.eflags;
	e->cs = r.cs, e->ss = r.ss, e->ds = r.ds, e->es = r.es, e->fs = r.fs, e->gs = r.gs;
	e->fs_base = r.fs_base, e->gs_base = r.gs_base;
	e->has_mode = 1;
	e->mode = USER_X86_REGS_MODE__NATIVE;
	return e;
}

static UserDescT *tls_entry(struct arena *a, const struct user_desc *d)
{
	UserDescT *e = arena_new_of(a, UserDescT);

	user_desc_t__init(e);
	e->entry_number = d->entry_number;
	e->base_addr = d->base_addr;
	e->limit = d->limit;
	e->seg_32bit = d->seg_32bit;
	e->contents_h = d->contents >> 1 & 1;
	e->contents_l = d->contents & 1;
	e->read_exec_only = d->read_exec_only;
	e->limit_in_pages = d->limit_in_pages;
	e->seg_not_present = d->seg_not_present;
	e->usable = d->useable;
	return e;
}

static void tls_dump(struct arena *a, pid_t tid, ThreadInfoX86 *ti)
{
	ti->n_tls = TLS_COUNT;
	ti->tls = arena_array_of(a, UserDescT *, TLS_COUNT);
	for (unsigned int i = 0; i < TLS_COUNT; i++) {
		struct user_desc d = {.entry_number = TLS_FIRST + i};

		/* Without IA32 emulation the request is unknown, and there are none. */
		if (sys_ptrace(PTRACE_GET_THREAD_AREA, tid, TLS_FIRST + i,
			       (uint64_t)(uintptr_t)&d) < 0)
			d = (struct user_desc){.entry_number = TLS_FIRST + i,
					       .read_exec_only = 1,
					       .seg_not_present = 1};
		ti->tls[i] = tls_entry(a, &d);
	}
}

/* Shadow stacks: the record says "none" where the CPU could have them. */
static int cet_dump(const struct arch_cpu *cpu, struct arena *a, pid_t tid, UserX86FpregsEntry *f,
		    struct err *err)
{
	uint64_t ssp = 0;
	struct iovec iov = {&ssp, sizeof(ssp)};

	if (!f->xsave || !cpu->has_shstk)
		return 0;
	/* -ENODEV: not switched on in this thread. */
	if (sys_ptrace(PTRACE_GETREGSET, tid, NT_X86_SHSTK, (uint64_t)(uintptr_t)&iov) >= 0)
		return err_refuse(err, "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
				  "thread %d: has a user shadow stack", tid);
	f->xsave->cet = arena_new_of(a, UserX86CetEntry);
	user_x86_cet_entry__init(f->xsave->cet);
	return 0;
}

int arch_core_dump(const struct arch_cpu *cpu, struct arena *a, pid_t tid,
		   const struct arch_state *saved, CoreEntry *core, struct err *err)
{
	ThreadInfoX86 *ti = arena_new_of(a, ThreadInfoX86);

	if (saved->gp.cs != USER_CS)
		return err_refuse(err, "build the program for 64 bit",
				  "thread %d: runs 32-bit code", tid);
	thread_info_x86__init(ti);
	ti->gpregs = regs_entry(a, &saved->gp);
	ti->fpregs = arena_new_of(a, UserX86FpregsEntry);
	user_x86_fpregs_entry__init(ti->fpregs);
	if (fpu_to_image(&cpu->layout, saved->xsave, saved->xsave_len, a, ti->fpregs, err) < 0)
		return err_in(err, "thread %d", tid);
	TRY(cet_dump(cpu, a, tid, ti->fpregs, err));
	tls_dump(a, tid, ti);
	core->mtype = CORE_ENTRY__MARCH__X86_64;
	core->thread_info = ti;
	return 0;
}

void arch_core_put_tid_addr(CoreEntry *core, uint64_t addr)
{
	core->thread_info->clear_tid_addr = addr;
}

uint64_t arch_core_get_tid_addr(const CoreEntry *core)
{
	return core->thread_info->clear_tid_addr;
}

int arch_core_check(const struct target *t, struct err *err)
{
	auto_close int exe = openat(t->proc, "exe", O_RDONLY | O_CLOEXEC);
	unsigned char ident[EI_NIDENT];

	if (exe < 0 || read(exe, ident, sizeof(ident)) != (ssize_t)sizeof(ident))
		return 0; /* gone, or unreadable: mem/ and file/ have a word to say on that */
	if (memcmp(ident, ELFMAG, SELFMAG) == 0 && ident[EI_CLASS] == ELFCLASS32)
		return err_refuse(err, "build the program for 64 bit", "is a 32-bit program");
	return 0;
}

/* --------------------------------------------------------------- restore */

static int regs_load(const UserX86RegsEntry *e, struct user_regs_struct *r, struct err *err)
{
	if (e->has_mode && e->mode != USER_X86_REGS_MODE__NATIVE)
		return err_refuse(err, "restore it with CRIU", "registers of a 32-bit program");
	if (e->cs != USER_CS || e->ss != USER_SS)
		return err_input(err, "segments %llx, %llx aren't those of 64-bit user code",
				 (unsigned long long)e->cs, (unsigned long long)e->ss);
	*r = (struct user_regs_struct){0};
	r->r15 = e->r15, r->r14 = e->r14, r->r13 = e->r13, r->r12 = e->r12;
	r->r11 = e->r11, r->r10 = e->r10, r->r9 = e->r9, r->r8 = e->r8;
	r->rbp = e->bp, r->rbx = e->bx, r->rax = e->ax, r->rcx = e->cx;
	r->rdx = e->dx, r->rsi = e->si, r->rdi = e->di;
	/* Not in a system call: else the kernel could take rax for an interrupted one's. */
	r->orig_rax = UINT64_MAX;
	r->rip = e->ip, r->rsp = e->sp, r->eflags = e->flags;
	r->cs = e->cs, r->ss = e->ss, r->ds = e->ds, r->es = e->es, r->fs = e->fs, r->gs = e->gs;
	r->fs_base = e->fs_base, r->gs_base = e->gs_base;
	return 0;
}

static bool tls_is_unused(const UserDescT *e)
{
	return !e->base_addr && !e->limit && e->read_exec_only && e->seg_not_present;
}

static int tls_load(const ThreadInfoX86 *ti, struct arch_core *c, struct err *err)
{
	if (ti->n_tls > TLS_COUNT)
		return err_input(err, "%zu thread-local segments, there are %d", ti->n_tls,
				 TLS_COUNT);
	for (size_t i = 0; i < ti->n_tls; i++) {
		const UserDescT *e = ti->tls[i];

		if (tls_is_unused(e))
			continue;
		if (e->entry_number < TLS_FIRST || e->entry_number >= TLS_FIRST + TLS_COUNT)
			return err_input(err, "thread-local segment %u", e->entry_number);
		c->has_tls[i] = true;
		c->tls[i] = (struct user_desc){
			.entry_number = e->entry_number,
			.base_addr = e->base_addr,
			.limit = e->limit,
			.seg_32bit = e->seg_32bit ? 1 : 0,
			.contents = (e->contents_h ? 2U : 0U) | (e->contents_l ? 1U : 0U),
			.read_exec_only = e->read_exec_only ? 1 : 0,
			.limit_in_pages = e->limit_in_pages ? 1 : 0,
			.seg_not_present = e->seg_not_present ? 1 : 0,
			.useable = e->usable ? 1 : 0,
		};
	}
	return 0;
}

int arch_core_load(const struct arch_cpu *cpu, struct arena *a, const CoreEntry *core,
		   struct arch_core **ret, struct err *err)
{
	const ThreadInfoX86 *ti = core->thread_info;
	struct arch_core *c = arena_new_of(a, struct arch_core);

	if (core->mtype != CORE_ENTRY__MARCH__X86_64)
		return err_refuse(err, "restore it on a machine of that kind",
				  "made on another architecture (%d)", (int)core->mtype);
	if (!ti)
		return err_input(err, "no registers in the record");
	TRY(regs_load(ti->gpregs, &c->state.gp, err));
	TRY(fpu_check_image(ti->fpregs, err));
	if (ti->fpregs->xsave && ti->fpregs->xsave->cet && ti->fpregs->xsave->cet->cet)
		return err_refuse(err, "restore it with CRIU", "has a user shadow stack");
	c->missing = fpu_missing(&cpu->layout, ti->fpregs);
	c->state.xsave_len = cpu->layout.size;
	c->state.xsave = arena_alloc(a, cpu->layout.size);
	fpu_from_image(&cpu->layout, ti->fpregs, c->state.xsave);
	TRY(tls_load(ti, c, err));
	*ret = c;
	return 0;
}

int arch_core_able(const struct arch_core *c, struct err *err)
{
	if (!c->missing)
		return 0;
	return err_refuse(err, "restore it on a machine whose CPU has that feature",
			  "%s registers are in use, which this CPU doesn't have",
			  xstate_name((unsigned int)__builtin_ctzll(c->missing)));
}

const struct arch_state *arch_core_state(const struct arch_core *c)
{
	return &c->state;
}

int arch_core_restore(const struct arch_core *c, pid_t tid, struct err *err)
{
	for (size_t i = 0; i < TLS_COUNT; i++) {
		long r;

		if (!c->has_tls[i])
			continue;
		r = sys_ptrace(PTRACE_SET_THREAD_AREA, tid, c->tls[i].entry_number,
			       (uint64_t)(uintptr_t)&c->tls[i]);
		if (r < 0)
			return err_sys(err, (int)r, "thread %d: set thread-local segment %u", tid,
				       c->tls[i].entry_number);
	}
	return 0;
}
