/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sys.h"

#include "kernel/uapi/mman.h"

#include <errno.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int sys_pidfd_open(pid_t pid, unsigned int flags)
{
	long fd = syscall(SYS_pidfd_open, pid, flags);

	return fd < 0 ? -errno : (int)fd;
}

int sys_pidfd_getfd(int pidfd, int fd)
{
	long ret = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return ret < 0 ? -errno : (int)ret;
}

int sys_pidfd_send_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

pid_t sys_clone3(struct clone_args *args, size_t size)
{
	long pid = syscall(SYS_clone3, args, size);

	return pid < 0 ? -errno : (pid_t)pid;
}

int sys_kcmp(pid_t a, pid_t b, int type, unsigned long idx_a, unsigned long idx_b)
{
	long ret = syscall(SYS_kcmp, a, b, type, idx_a, idx_b);

	return ret < 0 ? -errno : (int)ret;
}

ssize_t sys_vm_readv(pid_t pid, const struct iovec *local, size_t nlocal,
		     const struct iovec *remote, size_t nremote)
{
	ssize_t n = process_vm_readv(pid, local, nlocal, remote, nremote, 0);

	return n < 0 ? -errno : n;
}

ssize_t sys_vm_writev(pid_t pid, const struct iovec *local, size_t nlocal,
		      const struct iovec *remote, size_t nremote)
{
	ssize_t n = process_vm_writev(pid, local, nlocal, remote, nremote, 0);

	return n < 0 ? -errno : n;
}

int64_t sys_cached_pages(int fd, uint64_t off, uint64_t len)
{
	struct cachestat_range range = {off, len};
	struct cachestat st;

	if (syscall(SYS_cachestat, fd, &range, &st, 0) < 0)
		return -errno;
	return (int64_t)st.nr_cache;
}

int sys_tgkill(pid_t tgid, pid_t tid, int signo)
{
	return syscall(SYS_tgkill, tgid, tid, signo) < 0 ? -errno : 0;
}

int sys_kill(pid_t pid, int signo)
{
	return kill(pid, signo) < 0 ? -errno : 0;
}

pid_t sys_wait(pid_t tid, int *status, int flags)
{
	long ret = syscall(SYS_wait4, tid, status, flags | __WALL, NULL);

	return ret < 0 ? -errno : (pid_t)ret;
}

long sys_ptrace(int request, pid_t tid, uint64_t addr, uint64_t data)
{
	/* The raw call, which returns PEEK values through `data` like all others. */
	long ret = syscall(SYS_ptrace, (long)request, (long)tid, addr, data);

	return ret < 0 ? -errno : ret;
}
