/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and FPU of one x86-64 thread, as ptrace gives them. */
#pragma once

#include "remote/target.h"

#include <sys/user.h>

struct arch_state {
	struct user_regs_struct gp; /* as read: an interrupted call not yet rewound */
	size_t xsave_len; /* 512: a CPU with the legacy area alone; 0: none, left as it is */
	uint8_t *xsave;	  /* standard format XSAVE image (NT_X86_XSTATE) */
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
/*
 * The original number of a call that the kernel restarts by itself a second time, which shows as
 * restart_syscall(): its number goes to orig_rax (the kernel doesn't use that when it restarts).
 * It is found by the code before the `syscall` instruction, or else by the arguments. What was
 * about to call restart_syscall() becomes what is still inside the interrupted call.
 */
void arch_regs_name_restarted(const struct target *t, struct user_regs_struct *regs);
/*
 * epoll_wait() and some others return EINTR at any interruption, ours included: makes the kernel
 * restart them as it does with others. True if regs were changed.
 */
bool arch_regs_hide_eintr(struct user_regs_struct *regs);
bool arch_in_syscall(const struct user_regs_struct *regs);

/* Only the general registers. A task in 32-bit mode is refused. */
MUST_USE int arch_gp_get(pid_t tid, struct user_regs_struct *ret, struct err *err);
MUST_USE int arch_gp_set(pid_t tid, const struct user_regs_struct *regs, struct err *err);
