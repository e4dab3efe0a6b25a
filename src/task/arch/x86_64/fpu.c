/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87, SSE, AVX, AVX-512, protection keys: the thread's XSAVE image, which remote/ has read with
 * PTRACE_GETREGSET NT_X86_XSTATE in standard format, to and from the record.
 *
 *	0	legacy area (FXSAVE): control words, 8 x87 registers, 16 XMM registers
 *	512	header: xstate_bv says which components aren't in their initial state
 *	576	the components, where CPUID leaf 0xD of the CPU says
 *
 * Offsets belong to the CPU and aren't in the record; it has one array per component, absent where
 * the dumping CPU had none, filled (the kernel puts initial values in) where it had. Components
 * beyond the table can't be recorded: AMX tiles, APX registers. They are refused while in use.
 * Shadow stacks (CET) aren't in this image but in a register set of their own: see regs.c.
 */
#include "task/arch/x86_64/fpu.h"

#include "base/auto.h"
#include "image/fxsave.h"

#include <cpuid.h>
#include <stdbool.h>
#include <string.h>

#define LEGACY_LEN    512
#define XSTATE_BV_OFF 512
#define XSTATE_HEADER (LEGACY_LEN + 64)
#define XSTATE_FPSSE  3ULL

/* A component and its array in the record, of `count` elements of `size` bytes. */
struct component {
	unsigned int nr;
	const char *name;
	size_t count, size;
	size_t n_at, array_at; /* offsets in UserX86XsaveEntry */
};
/* clang-format off */
#define COMPONENT(nr, name, count, type, field)                                                    \
	{ nr, name, count, sizeof(type), offsetof(UserX86XsaveEntry, n_##field),                   \
	  offsetof(UserX86XsaveEntry, field) }
static const struct component components[] = {
	COMPONENT(2, "AVX",	 64,  uint32_t, ymmh_space),
	COMPONENT(3, "MPX",	 8,   uint64_t, bndreg_state),
	COMPONENT(4, "MPX",	 8,   uint64_t, bndcsr_state),
	COMPONENT(5, "AVX-512",	 8,   uint64_t, opmask_reg),
	COMPONENT(6, "AVX-512",	 64,  uint64_t, zmm_upper),
	COMPONENT(7, "AVX-512",	 128, uint64_t, hi16_zmm),
	COMPONENT(9, "PKU",	 2,   uint32_t, pkru),
};
/* clang-format on */

const char *xstate_name(unsigned int component)
{
	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		if (components[i].nr == component)
			return components[i].name;
	switch (component) {
	case 0:
		return "x87";
	case 1:
		return "SSE";
	case 17:
	case 18:
		return "AMX";
	case 19:
		return "APX";
	default:
		return "an unknown CPU feature";
	}
}

void xstate_layout_local(struct xstate_layout *ret)
{
	uint32_t a, b, c, d;

	*ret = (struct xstate_layout){.size = LEGACY_LEN, .features = XSTATE_FPSSE};
	if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return;
	if (!__get_cpuid_count(0xd, 0, &a, &b, &c, &d))
		return;
	ret->size = b; /* for the components that are switched on in XCR0 */
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	ret->features = a | (uint64_t)d << 32;
	for (unsigned int i = 2; i < XSTATE_MAX; i++) {
		if (!(ret->features >> i & 1) || !__get_cpuid_count(0xd, i, &a, &b, &c, &d))
			continue;
		ret->len[i] = a;
		ret->offset[i] = b;
	}
}

/* Bytes that both the CPU's component and the record's array have. */
static size_t component_len(const struct xstate_layout *l, const struct component *c)
{
	if (!(l->features >> c->nr & 1) || l->offset[c->nr] < XSTATE_HEADER)
		return 0;
	return MIN(l->len[c->nr], c->count * c->size);
}

static uint64_t xstate_bv(const uint8_t *xsave)
{
	uint64_t bv;

	memcpy(&bv, xsave + XSTATE_BV_OFF, sizeof(bv));
	return bv;
}

static uint64_t known_components(void)
{
	uint64_t known = XSTATE_FPSSE;

	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		known |= 1ULL << components[i].nr;
	return known;
}

static void legacy_to_image(const uint8_t *xsave, struct arena *a, UserX86FpregsEntry *f)
{
	struct fxsave fx;

	memcpy(&fx, xsave, sizeof(fx));
	f->cwd = fx.cwd;
	f->swd = fx.swd;
	f->twd = fx.twd;
	f->fop = fx.fop;
	f->rip = fx.rip;
	f->rdp = fx.rdp;
	f->mxcsr = fx.mxcsr;
	f->mxcsr_mask = fx.mxcsr_mask;
	f->n_st_space = ARRAY_SIZE(fx.st);
	f->st_space = arena_dup(a, fx.st, sizeof(fx.st));
	f->n_xmm_space = ARRAY_SIZE(fx.xmm);
	f->xmm_space = arena_dup(a, fx.xmm, sizeof(fx.xmm));
}

int fpu_to_image(const struct xstate_layout *l, const uint8_t *xsave, size_t len, struct arena *a,
		 UserX86FpregsEntry *ret, struct err *err)
{
	UserX86XsaveEntry *x;
	uint64_t lost;

	if (len < LEGACY_LEN || (len > LEGACY_LEN && len < l->size))
		return err_bug(err, "XSAVE image of %zu bytes, this CPU's has %zu", len, l->size);
	legacy_to_image(xsave, a, ret);
	if (len == LEGACY_LEN)
		return 0;
	lost = xstate_bv(xsave) & ~known_components();
	if (lost) {
		const char *name = xstate_name((unsigned int)__builtin_ctzll(lost));

		return err_refuse(err, "dump it again when it isn't computing with them",
				  "%s registers are in use, which an image can't hold", name);
	}
	x = arena_new_of(a, UserX86XsaveEntry);
	user_x86_xsave_entry__init(x);
	x->xstate_bv = xstate_bv(xsave);
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		size_t n = component_len(l, c);
		void *array;

		if (!n)
			continue;
		array = arena_alloc(a, c->count * c->size);
		memcpy(array, xsave + l->offset[c->nr], n);
		*(size_t *)((char *)x + c->n_at) = c->count;
		*(void **)((char *)x + c->array_at) = array;
	}
	ret->xsave = x;
	return 0;
}

int fpu_check_image(const UserX86FpregsEntry *f, struct err *err)
{
	const UserX86XsaveEntry *x = f->xsave;

	if (f->n_st_space != 32 || f->n_xmm_space != 64)
		return err_input(err, "%zu words of x87 and %zu of SSE registers, expected 32, 64",
				 f->n_st_space, f->n_xmm_space);
	if (f->cwd > UINT16_MAX || f->swd > UINT16_MAX || f->twd > UINT16_MAX ||
	    f->fop > UINT16_MAX)
		return err_input(err, "x87 control words of more than 16 bits");
	for (size_t i = 0; x && i < ARRAY_SIZE(components); i++) {
		size_t n = *(const size_t *)((const char *)x + components[i].n_at);

		/* A component in use needs its values; without a bit an empty array will do. */
		if (n ? n < components[i].count : x->xstate_bv >> components[i].nr & 1)
			return err_input(err, "%zu words of %s registers, expected %zu", n,
					 components[i].name, components[i].count);
	}
	return 0;
}

uint64_t fpu_missing(const struct xstate_layout *l, const UserX86FpregsEntry *f)
{
	return f->xsave ? f->xsave->xstate_bv & ~(l->features | XSTATE_FPSSE) : 0;
}

void fpu_from_image(const struct xstate_layout *l, const UserX86FpregsEntry *f, uint8_t *xsave)
{
	const UserX86XsaveEntry *x = f->xsave;
	uint64_t bv = XSTATE_FPSSE; /* the legacy area always counts */
	struct fxsave fx;

	memset(xsave, 0, l->size);
	if (fxsave_from_image(f, &fx)) /* checked: fpu_check_image */
		memcpy(xsave, &fx, sizeof(fx));
	if (l->size <= LEGACY_LEN)
		return;
	for (size_t i = 0; x && i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		const void *array = *(void *const *)((const char *)x + c->array_at);
		size_t n = component_len(l, c);

		if (!n || !(x->xstate_bv >> c->nr & 1))
			continue;
		memcpy(xsave + l->offset[c->nr], array, n);
		bv |= 1ULL << c->nr;
	}
	memcpy(xsave + XSTATE_BV_OFF, &bv, sizeof(bv));
}
