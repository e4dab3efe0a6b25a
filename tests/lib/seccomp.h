/* SPDX-License-Identifier: Apache-2.0 */
/* Small seccomp filters: one call gets an answer of its own, all others go through. */
#pragma once

#include "behave.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECCOMP_NR offsetof(struct seccomp_data, nr)

/* The call `nr` gets `action` (SECCOMP_RET_...), others are allowed. `flags`: of seccomp(2). */
static inline void seccomp_add(long nr, uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SECCOMP_NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = 4, .filter = code};

	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog));
}

static inline void seccomp_add_errno(long nr, uint32_t code, unsigned int flags)
{
	seccomp_add(nr, SECCOMP_RET_ERRNO | code, flags);
}
