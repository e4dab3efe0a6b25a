/* SPDX-License-Identifier: Apache-2.0 */
/* <linux/ptrace.h> and <linux/elf.h>, what the system's headers may lack, named as there. */
#pragma once

#include <linux/elf.h>
#include <linux/ptrace.h>
#include <sys/user.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211 /* 6.4 */
#endif
#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif
#ifndef NT_X86_SHSTK
#define NT_X86_SHSTK 0x204 /* 6.6 */
#endif

/* Codes by which the kernel marks an interrupted call (include/linux/errno.h, not in uapi). */
#define ERESTARTSYS	      512
#define ERESTARTNOINTR	      513
#define ERESTARTNOHAND	      514
#define ERESTART_RESTARTBLOCK 516
