/* SPDX-License-Identifier: Apache-2.0 */
/* The XSAVE image of x86 CPUs and the image's records; see fpu.c. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct UserX86FpregsEntry UserX86FpregsEntry;

#define XSTATE_MAX 64

/* Where components are in a standard-format XSAVE image, by component number. */
struct xstate_layout {
	size_t size;	   /* of the whole; 512 without XSAVE */
	uint64_t features; /* components that the kernel has switched on (XCR0) */
	uint32_t offset[XSTATE_MAX], len[XSTATE_MAX];
};

/* The local CPU's, from CPUID leaf 0xD. */
void xstate_layout_local(struct xstate_layout *ret);
/* Name of what a component belongs to: "AVX-512". */
const char *xstate_name(unsigned int component);

/* Refused: a component in use that records have no place for (AMX, APX). */
MUST_USE int fpu_to_image(const struct xstate_layout *l, const uint8_t *xsave, size_t len,
			  struct arena *a, UserX86FpregsEntry *ret, struct err *err);
/* Checks the record's sizes. */
MUST_USE int fpu_check_image(const UserX86FpregsEntry *f, struct err *err);
/* Components in use that the CPU of this layout lacks. */
uint64_t fpu_missing(const struct xstate_layout *l, const UserX86FpregsEntry *f);
/* Fills an image of l->size bytes. What the CPU lacks is left out: see fpu_missing. */
void fpu_from_image(const struct xstate_layout *l, const UserX86FpregsEntry *f, uint8_t *xsave);
