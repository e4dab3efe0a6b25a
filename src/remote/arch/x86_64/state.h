/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and FPU of one x86-64 thread, as ptrace gives them. */
#pragma once

#include "remote/target.h"

#include <sys/user.h>

struct arch_state {
	struct user_regs_struct gp; /* as read: an interrupted call not yet rewound */
	size_t xsave_len;	    /* 0: legacy only, in `fx` */
	uint8_t *xsave;		    /* standard format XSAVE image (NT_X86_XSTATE) */
};

struct arch_state *arch_state_new(size_t xsave_len);
void arch_state_free(struct arch_state *s);
/* From and to a stopped thread: PTRACE_GETREGSET/SETREGSET NT_PRSTATUS, NT_X86_XSTATE. */
MUST_USE int arch_state_get(pid_t tid, struct arch_state **ret, struct err *err);
MUST_USE int arch_state_set(pid_t tid, const struct arch_state *s, struct err *err);

/*
 * Registers with which a thread caught in a system call starts that call again when it is woken
 * from an image: -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND: ip -= 2, ax = orig_ax.
 * -ERESTART_RESTARTBLOCK (nanosleep, poll, futex with relative timeouts): the kernel's memory of
 * the rest of the timeout is lost, see the .c file for what each call gets.
 */
void arch_regs_rewind(struct user_regs_struct *regs);
