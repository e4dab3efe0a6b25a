/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without a wrapper in the C library, or whose wrapper does more than the call.
 * All return a value >= 0 or a negative errno; none retries.
 */
#pragma once

#include "base/err.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct clone_args;

int sys_pidfd_open(pid_t pid, unsigned int flags);
int sys_pidfd_getfd(int pidfd, int fd);
int sys_pidfd_send_signal(int pidfd, int signo);
/* No stack switch: for forks only. In the child 0. Nothing of the C library runs in it. */
pid_t sys_clone3(struct clone_args *args, size_t size);
/* KCMP_*: 0 equal, 1 or 2 ordered, 3 unequal. */
int sys_kcmp(pid_t a, pid_t b, int type, unsigned long idx_a, unsigned long idx_b);
ssize_t sys_vm_readv(pid_t pid, const struct iovec *local, size_t nlocal,
		     const struct iovec *remote, size_t nremote);
ssize_t sys_vm_writev(pid_t pid, const struct iovec *local, size_t nlocal,
		      const struct iovec *remote, size_t nremote);
/* How many pages of that range of a file are in the page cache (6.5). */
int64_t sys_cached_pages(int fd, uint64_t off, uint64_t len);
int sys_tgkill(pid_t tgid, pid_t tid, int signo);
int sys_kill(pid_t pid, int signo);
/* __WALL is always set. 0 with WNOHANG: nothing yet. EINTR is returned, not retried. */
pid_t sys_wait(pid_t tid, int *status, int flags);
/* PTRACE_*: `request` as in <sys/ptrace.h> or kernel/uapi/ptrace.h. */
long sys_ptrace(int request, pid_t tid, uint64_t addr, uint64_t data);
