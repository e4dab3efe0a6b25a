/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal frames (struct rt_sigframe of arch/x86/kernel/signal_64.c):
 *
 *	at       return address, which rt_sigreturn doesn't look at
 *	at+8     struct ucontext: flags, alternate stack, registers, blocked mask
 *	...      siginfo, not looked at by rt_sigreturn
 *	64-byte  XSAVE image, whose bytes 464-511 describe its size to the kernel, and
 *	aligned  FP_XSTATE_MAGIC2 behind it
 *
 * rt_sigreturn would set the alternate signal stack too, which can't be read from outside: flags
 * that do_sigaltstack() refuses leave it as it is (restore_altstack() ignores all errors but
 * EFAULT). fs_base, gs_base and the segment registers but cs and ss aren't in the frame; the agent
 * doesn't touch them. orig_rax isn't either, hence the rewound registers: an interrupted call is
 * started again by executing its instruction once more.
 */
#include "remote/arch/x86_64/frame.h"

#include "base/auto.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#define FRAME_FP_XSTATE_MAGIC1 0x46505853U
#define FRAME_FP_XSTATE_MAGIC2 0x46505845U
#define UC_FP_XSTATE	       1
#define UC_SIGCONTEXT_SS       2
#define UC_STRICT_RESTORE_SS   4
#define SS_BOGUS	       0x40000000 /* no mode that sigaltstack knows */
#define XFEATURE_XTILE_DATA    18

/* The kernel's struct ucontext: like the C library's up to the mask, which is 8 bytes here. */
struct frame {
	uint64_t chain;
	uint64_t uc_flags, uc_link;
	struct {
		uint64_t sp;
		int32_t flags, pad;
		uint64_t size;
	} uc_stack;
	struct {
		uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
		uint64_t di, si, bp, bx, dx, ax, cx, sp, ip, flags;
		uint16_t cs, gs, fs, ss;
		uint64_t err, trapno, oldmask, cr2;
		uint64_t fpstate;
		uint64_t reserved[8];
	} mc;
	uint64_t sigmask;
	uint8_t siginfo[128];
};
_Static_assert(offsetof(struct frame, mc) == 8 + 40, "uc_mcontext is at 40 of ucontext");
_Static_assert(offsetof(struct frame, sigmask) == 8 + 40 + 256, "sigcontext has 256 bytes");

_Static_assert(offsetof(struct frame, mc.fpstate) == FRAME_FPSTATE_POINTER, "see frame.h");

/* What the kernel puts into bytes 464-511 of the legacy area (struct _fpx_sw_bytes). */
struct fx_sw {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t padding[7];
};
#define FX_SW_OFFSET 464

/* Where a component of an XSAVE image ends. A fact of the machine: asked once, as CPUID is slow in
 * a virtual machine (each use of it leaves it). */
static size_t area_end(unsigned int i)
{
	static size_t known[63];

	if (!known[i]) {
		unsigned int size, offset, c, d;

		__cpuid_count(0xd, i, size, offset, c, d);
		known[i] = MAX((size_t)offset + size, (size_t)1);
	}
	return known[i];
}

/*
 * The size of an XSAVE image as the task's own frames have it: without AMX tile data, for which a
 * task needs a permission that it has if they are in use. A larger image than the task's
 * buffer would be restored without everything behind the SSE registers.
 */
static size_t image_size(const struct arch_state *s)
{
	uint64_t xcr0, used;
	size_t end = 576;

	if (s->xsave_len <= 512)
		return s->xsave_len;
	memcpy(&xcr0, s->xsave + FX_SW_OFFSET, sizeof(xcr0));
	memcpy(&used, s->xsave + 512, sizeof(used));
	for (unsigned int i = 2; i < 63; i++) {
		if (!(xcr0 >> i & 1) || (i == XFEATURE_XTILE_DATA && !(used >> i & 1)))
			continue;
		end = MAX(end, area_end(i));
	}
	return end < s->xsave_len ? end : s->xsave_len;
}

size_t frame_size(const struct arch_state *s)
{
	return sizeof(struct frame) + 64 + s->xsave_len + sizeof(uint32_t) + 64;
}

static void put_fpstate(const struct arch_state *s, size_t len, uint8_t *to)
{
	struct fx_sw sw = {
		.magic1 = FRAME_FP_XSTATE_MAGIC1,
		.extended_size = (uint32_t)len + sizeof(uint32_t),
		.xstate_size = (uint32_t)len,
	};
	uint32_t magic2 = FRAME_FP_XSTATE_MAGIC2;

	memcpy(to, s->xsave, len);
	if (len <= 512)
		return;
	/* ptrace puts XCR0 where a frame has the magic. */
	memcpy(&sw.xfeatures, s->xsave + FX_SW_OFFSET, sizeof(sw.xfeatures));
	memcpy(to + FX_SW_OFFSET, &sw, sizeof(sw));
	memcpy(to + len, &magic2, sizeof(magic2));
}

int frame_build(const struct arch_state *s, uint64_t sigmask, raddr_t at, uint64_t chain, void *buf,
		size_t size, size_t *ret_len, struct err *err)
{
	struct user_regs_struct r = s->gp;
	size_t len = image_size(s);
	uint64_t fp = (at.va + sizeof(struct frame) + 63) & ~(uint64_t)63;
	size_t fp_off = fp - at.va, total = fp_off + len + sizeof(uint32_t);
	struct frame *f = buf;

	if (total > size)
		return err_bug(err, "frame of %zu bytes, room for %zu", total, size);
	memset(buf, 0, total);
	arch_regs_rewind(&r);
	f->chain = chain;
	f->uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (len > 512 ? UC_FP_XSTATE : 0);
	f->uc_stack.flags = SS_BOGUS;
	f->mc = (__typeof__(f->mc)){
		.r8 = r.r8,
		.r9 = r.r9,
		.r10 = r.r10,
		.r11 = r.r11,
		.r12 = r.r12,
		.r13 = r.r13,
		.r14 = r.r14,
		.r15 = r.r15,
		.di = r.rdi,
		.si = r.rsi,
		.bp = r.rbp,
		.bx = r.rbx,
		.dx = r.rdx,
		.ax = r.rax,
		.cx = r.rcx,
		.sp = r.rsp,
		.ip = r.rip,
		.flags = r.eflags,
		.cs = (uint16_t)r.cs,
		.gs = (uint16_t)r.gs,
		.fs = (uint16_t)r.fs,
		.ss = (uint16_t)r.ss,
		.oldmask = sigmask,
		.fpstate = len ? fp : 0,
	};
	f->sigmask = sigmask;
	put_fpstate(s, len, (uint8_t *)buf + fp_off);
	*ret_len = total;
	return 0;
}

void frame_enter_regs(struct user_regs_struct *regs, uint64_t ip, raddr_t at)
{
	regs->rip = ip;
	regs->rsp = at.va + 8;
	regs->rax = 15; /* rt_sigreturn */
	regs->orig_rax = (uint64_t)-1;
	regs->eflags &= ~(uint64_t)0x100; /* TF: its single steps are its own */
}

size_t frame_fpstate_offset(void)
{
	return (sizeof(struct frame) + 63) & ~(size_t)63;
}

bool frame_is_ours(const void *page)
{
	const struct frame *f = page;

	return (f->uc_flags | UC_FP_XSTATE) ==
		       (UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS) &&
	       f->uc_link == 0 && f->uc_stack.sp == 0 && f->uc_stack.flags == SS_BOGUS &&
	       f->uc_stack.size == 0;
}

bool frame_is_awaited(const struct target *t, const struct user_regs_struct *regs)
{
	uint64_t page = regs->rsp & ~(uint64_t)4095;
	struct frame f;
	struct err err = ERR_INIT;

	/* The stack pointer is at the frame or behind its first word, all along. */
	return (regs->rsp == page || regs->rsp == page + 8) &&
	       target_read(t, raddr(page), &f, sizeof(f), &err) == 0 && frame_is_ours(&f);
}

void frame_wipe(void *buf, size_t len)
{
	struct frame *f = buf;

	memset(buf, 0, len);
	f->uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f->uc_stack.flags = SS_BOGUS;
}
