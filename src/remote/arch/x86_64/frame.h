/* SPDX-License-Identifier: Apache-2.0 */
/* Signal frames by which a thread brings itself back to a state with rt_sigreturn. */
#pragma once

#include "remote/arch/x86_64/state.h"

/*
 * Builds a frame that lies at `at` (8 bytes below a multiple of 64) in the target into `buf`,
 * at most `size` bytes; *ret_len of them are used. rt_sigreturn wants the stack pointer at
 * `at` + 8; the word at `at` itself is the address `chain`, to which a `ret` goes before that.
 */
MUST_USE int frame_build(const struct arch_state *s, uint64_t sigmask, raddr_t at, uint64_t chain,
			 void *buf, size_t size, size_t *ret_len, struct err *err);
/* Bytes needed for a frame of this state, alignment included. */
size_t frame_size(const struct arch_state *s);

/* The registers with which a thread executes `syscall` at `ip` as rt_sigreturn of a frame at `at`.
 */
void frame_enter_regs(struct user_regs_struct *regs, uint64_t ip, raddr_t at);

/* Where in a frame at a page's start the pointer to the FPU state is, and where the state is. */
#define FRAME_FPSTATE_POINTER 232
size_t frame_fpstate_offset(void);

/*
 * Is a thread with these registers on its way back by such a frame, after its tracer died? Then
 * the frame and what it came through may not be touched until it has arrived.
 */
bool frame_is_awaited(const struct target *t, const struct user_regs_struct *regs);

/* Does this page begin with a frame of ours, perhaps wiped out? */
bool frame_is_ours(const void *page);
/* Wipes a frame out: zeros, but still recognised by frame_is_ours(). */
void frame_wipe(void *buf, size_t len);
