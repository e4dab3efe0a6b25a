/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of x86-64 threads, from their record to the forms that ptrace and core files have.
 *
 * The XSAVE area has no description of its own in a core file: debuggers guess from its length and
 * XCR0 (at 464) which component is where. What all of them know is the layout of Intel's CPUs, so
 * that is made, whatever the CPU was.
 */
#include "inspect/core_notes.h"

#include "base/auto.h"
#include "image/fxsave.h"

#include <string.h>
#include <sys/user.h>

#define XSTATE_XCR0	464
#define XSTATE_BV	512
#define XSTATE_NONE_LEN 576 /* legacy area and header */

struct component {
	unsigned int nr;
	size_t at, len;
	size_t n_at, array_at; /* offsets in UserX86XsaveEntry */
	size_t element;
};
/* clang-format off */
#define COMPONENT(nr, at, len, type, field)                                                        \
	{ nr, at, len, offsetof(UserX86XsaveEntry, n_##field), offsetof(UserX86XsaveEntry, field), \
	  sizeof(type) }
static const struct component components[] = {
	COMPONENT(2, 576,  256,	 uint32_t, ymmh_space),
	COMPONENT(3, 960,  64,	 uint64_t, bndreg_state),
	COMPONENT(4, 1024, 64,	 uint64_t, bndcsr_state),
	COMPONENT(5, 1088, 64,	 uint64_t, opmask_reg),
	COMPONENT(6, 1152, 512,	 uint64_t, zmm_upper),
	COMPONENT(7, 1664, 1024, uint64_t, hi16_zmm),
	COMPONENT(9, 2688, 8,	 uint32_t, pkru),
};
/* clang-format on */

static void put_general(const UserX86RegsEntry *e, struct user_regs_struct *r)
{
	*r = (struct user_regs_struct){
		.r15 = e->r15,
		.r14 = e->r14,
		.r13 = e->r13,
		.r12 = e->r12,
		.rbp = e->bp,
		.rbx = e->bx,
		.r11 = e->r11,
		.r10 = e->r10,
		.r9 = e->r9,
		.r8 = e->r8,
		.rax = e->ax,
		.rcx = e->cx,
		.rdx = e->dx,
		.rsi = e->si,
		.rdi = e->di,
		.orig_rax = e->orig_ax,
		.rip = e->ip,
		.cs = e->cs,
		.eflags = e->flags,
		.rsp = e->sp,
		.ss = e->ss,
		.fs_base = e->fs_base,
		.gs_base = e->gs_base,
		.ds = e->ds,
		.es = e->es,
		.fs = e->fs,
		.gs = e->gs,
	};
}

static int put_legacy(const UserX86FpregsEntry *e, const char *image, uint8_t *to, struct err *err)
{
	struct fxsave fx;

	if (!fxsave_from_image(e, &fx))
		return err_input(err, "%s: fpregs: st_space, xmm_space: %zu and %zu words", image,
				 e->n_st_space, e->n_xmm_space);
	memcpy(to, &fx, sizeof(fx));
	return 0;
}

/* The features that this CPU had; the area is filled as far as they go. */
static int put_components(const UserX86XsaveEntry *e, const char *image, struct thread_regs *r,
			  uint64_t *ret_features, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		const char *base = (const char *)e;
		const void *array;
		size_t n;

		memcpy(&n, base + c->n_at, sizeof(n));
		memcpy(&array, base + c->array_at, sizeof(array));
		if (!n)
			continue;
		if (n != c->len / c->element)
			return err_input(err, "%s: fpregs.xsave: component %u: %zu elements", image,
					 c->nr, n);
		memcpy(r->xstate + c->at, array, c->len);
		r->xstate_len = c->at + c->len;
		*ret_features |= UINT64_C(1) << c->nr;
	}
	return 0;
}

static int put_xstate(const UserX86XsaveEntry *e, const char *image, struct thread_regs *r,
		      struct err *err)
{
	uint64_t features = 3; /* x87, SSE */
	uint64_t bv;

	r->xstate_len = XSTATE_NONE_LEN;
	TRY(put_components(e, image, r, &features, err));
	bv = e->xstate_bv & features;
	memcpy(r->xstate, r->legacy, sizeof(r->legacy));
	memcpy(r->xstate + XSTATE_XCR0, &features, sizeof(features));
	memcpy(r->xstate + XSTATE_BV, &bv, sizeof(bv));
	return 0;
}

int core_regs(const CoreEntry *core, const char *image, struct thread_regs *ret, struct err *err)
{
	const ThreadInfoX86 *ti = core->thread_info;
	struct user_regs_struct general;

	*ret = (struct thread_regs){.xstate_len = 0};
	if (core->mtype != CORE_ENTRY__MARCH__X86_64 || !ti) {
		err_input(err, "%s: not of an x86-64 machine", image);
		return err_hint(err, "core files are made of x86-64 processes only");
	}
	if (ti->gpregs->has_mode && ti->gpregs->mode != USER_X86_REGS_MODE__NATIVE) {
		err_input(err, "%s: a 32-bit task", image);
		return err_hint(err, "core files are made of 64-bit processes only");
	}
	put_general(ti->gpregs, &general);
	_Static_assert(sizeof(general) == sizeof(ret->general), "user_regs_struct");
	memcpy(ret->general, &general, sizeof(general));
	TRY(put_legacy(ti->fpregs, image, ret->legacy, err));
	return ti->fpregs->xsave ? put_xstate(ti->fpregs->xsave, image, ret, err) : 0;
}
