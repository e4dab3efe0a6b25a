/* SPDX-License-Identifier: Apache-2.0 */
/* Inside inspect/: the notes of an ELF core file: what a process was apart from its memory. */
#pragma once

#include "inspect/space.h"

typedef VEC(uint8_t) note_buf;

/* Fills `ret` with all notes, for threads, process and mapped files. To be freed in any case. */
MUST_USE int core_notes(struct space *s, note_buf *ret, struct err *err);

/* ------------------------------------------------------ registers (core_regs.c) */

/* In the format with all components at the places that Intel's CPUs give them. */
#define XSTATE_LEN_MAX 2696

struct thread_regs {
	uint64_t general[27]; /* struct user_regs_struct */
	uint8_t legacy[512];  /* FXSAVE */
	uint8_t xstate[XSTATE_LEN_MAX];
	size_t xstate_len; /* 0: that CPU had none */
};
/* Refused: other machines, 32-bit tasks, arrays that are too short. */
MUST_USE int core_regs(const CoreEntry *core, const char *image, struct thread_regs *ret,
		       struct err *err);
