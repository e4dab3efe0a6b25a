/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes as /proc shows them, and their memory.
 *
 * What is filled here: pid, parent, comm and state from /proc/PID/stat, the number in the innermost
 * pid namespace from NSpid of /proc/PID/status. Threads are added by who seizes or builds them.
 */
#include "remote/target.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/vec.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "remote/arch/x86_64/gadget.h"
#include "remote/arch/x86_64/state.h"
#include "remote/internal.h"
#include "remote/scratch.h"
#include "remote/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int gone(const struct target *t, struct err *err)
{
	return err_gone(err, "pid %d%s%s%s: there is no such process", t->pid,
			t->comm[0] ? " (" : "", t->comm, t->comm[0] ? ")" : "");
}

static int target_read_status(struct target *t, struct err *err)
{
	auto_free char *text = NULL;
	uint64_t vpid = (uint64_t)t->pid;
	size_t levels = 0;
	int r = io_read_file(t->proc, "status", &text, NULL);

	if (proc_is_gone(r))
		return gone(t, err);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): read its status", t->pid, t->comm);
	(void)proc_field_last(text, "NSpid", &vpid, &levels); /* no namespaces: no such line */
	t->vpid = (pid_t)vpid;
	t->nested_pidns = levels > 1;
	return 0;
}

#define DYING_PATIENCE_MS 100

/* A process that is being killed shows a dead leader with living threads, for a moment. */
static int read_settled_stat(const struct target *t, struct proc_stat *st)
{
	int r, waited = 0;

	while ((r = proc_read_stat(t->proc, "stat", st)) == 0 && st->state == 'Z' &&
	       st->num_threads > 1 && !t->nthreads && waited++ < DYING_PATIENCE_MS)
		wait_for_news(1);
	return r;
}

int target_refresh(struct target *t, struct err *err)
{
	struct proc_stat st;
	int r = read_settled_stat(t, &st);

	if (proc_is_gone(r) || (r == 0 && st.state == 'X'))
		return gone(t, err);
	if (r < 0)
		return err_sys(err, r, "pid %d: read its stat", t->pid);
	t->ppid = st.ppid;
	str_copy(t->comm, sizeof(t->comm), st.comm);
	if (st.state != 'Z')
		return 0;
	if (st.num_threads > 1 && t->nthreads && target_leader(t)->seized)
		return target_reap(t, err); /* only a SIGKILL ends what we hold */
	if (st.num_threads > 1)
		return err_refuse(err, "end its other threads, or wait until they end",
				  "pid %d (%s): the main thread has exited and others are running",
				  t->pid, t->comm);
	t->state = TARGET_ZOMBIE;
	t->exit_status = st.exit_code;
	return 0;
}

bool target_is_dead(const struct target *t)
{
	struct proc_stat st;

	return proc_read_stat(t->proc, "stat", &st) < 0 || st.state == 'Z' || st.state == 'X' ||
	       st.flags & 0x4; /* PF_EXITING */
}

int target_open(pid_t pid, struct target **ret, struct err *err)
{
	struct target *t = xcalloc(1, sizeof(*t));
	int r;

	*t = (struct target){.pid = pid, .pidfd = -EBADF, .proc = -EBADF};
	t->proc = proc_open(pid);
	if (proc_is_gone(t->proc))
		r = gone(t, err);
	else if (t->proc < 0)
		r = err_sys(err, t->proc, "pid %d: open /proc/%d", pid, pid);
	else
		r = target_refresh(t, err);
	if (r >= 0)
		r = target_read_status(t, err);
	if (r >= 0) {
		t->pidfd = sys_pidfd_open(pid, 0);
		if (t->pidfd < 0 && t->state != TARGET_ZOMBIE)
			r = t->pidfd == -ESRCH ? gone(t, err)
					       : err_sys(err, t->pidfd, "pid %d: pidfd_open", pid);
	}
	if (r < 0) {
		target_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct target_thread *target_add_thread(struct target *t, pid_t tid)
{
	struct target_thread *th = xcalloc(1, sizeof(*th));

	if ((t->nthreads & (t->nthreads - 1)) == 0) /* full at powers of two */
		t->threads = xrealloc(t->threads, t->nthreads ? t->nthreads * 2 : 1,
				      sizeof(*t->threads));
	*th = (struct target_thread){.target = t, .tid = tid, .vtid = tid};
	t->threads[t->nthreads++] = th;
	return th;
}

static void thread_free(struct target_thread *th)
{
	arch_state_free(th->saved);
	free(th->held);
	free(th);
}

void target_drop_threads(struct target *t, bool (*is_unwanted)(const struct target_thread *))
{
	size_t n = 0;

	for (size_t i = 0; i < t->nthreads; i++) {
		if (is_unwanted && !is_unwanted(t->threads[i]))
			t->threads[n++] = t->threads[i];
		else
			thread_free(t->threads[i]);
	}
	t->nthreads = n;
	if (n) /* capacity is the next power of two: grow again from there */
		t->threads = xrealloc(t->threads, (size_t)1 << (64 - __builtin_clzl(n)),
				      sizeof(*t->threads));
}

void target_free(struct target *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->nthreads; i++)
		thread_free(t->threads[i]);
	free(t->threads);
	if (t->scratch)
		free(t->scratch->spot_saved);
	free(t->scratch);
	gadgets_unref(t->gadgets);
	fd_close(t->pidfd);
	fd_close(t->proc);
	free(t);
}

static int memory_failed(const struct target *t, int64_t r, const char *what, raddr_t at,
			 size_t len, struct err *err)
{
	if (r == -ESRCH)
		return err_gone(err, "pid %d (%s): died (%s)", t->pid, t->comm, what);
	return err_sys(err, r < 0 ? (int)r : -EFAULT, "pid %d (%s): %s %zu bytes at %#lx", t->pid,
		       t->comm, what, len, at.va);
}

int target_read(const struct target *t, raddr_t from, void *to, size_t len, struct err *err)
{
	struct iovec local = {to, len}, remote = {(void *)from.va, len};
	ssize_t n = sys_vm_readv(t->pid, &local, 1, &remote, 1);

	return n == (ssize_t)len ? 0 : memory_failed(t, n, "read", from, len, err);
}

int target_write(const struct target *t, raddr_t to, const void *from, size_t len, struct err *err)
{
	struct iovec local = {(void *)(uintptr_t)from, len}, remote = {(void *)to.va, len};
	ssize_t n = sys_vm_writev(t->pid, &local, 1, &remote, 1);

	return n == (ssize_t)len ? 0 : memory_failed(t, n, "write", to, len, err);
}

int target_peek(const struct target *t, raddr_t from, void *to, size_t len, struct err *err)
{
	auto_close int fd = openat(t->proc, "mem", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : io_pread_full(fd, to, len, from.va);

	return r < 0 ? memory_failed(t, r == -ENOENT ? -ESRCH : r, "peek", from, len, err) : 0;
}

int target_poke(const struct target *t, raddr_t to, const void *from, size_t len, struct err *err)
{
	auto_close int fd = openat(t->proc, "mem", O_WRONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : io_pwrite_full(fd, from, len, to.va);

	return r < 0 ? memory_failed(t, r == -ENOENT ? -ESRCH : r, "poke", to, len, err) : 0;
}
