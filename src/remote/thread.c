/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's own state, between its first stop and its release.
 *
 * Corrected at the first stop, in the thread itself, as the kernel would have done or as if we had
 * never come:
 *
 *  - EINTR of calls that fail at any interruption (epoll_wait ...) becomes a restart;
 *  - restart_syscall gets the number of the call that it restarts (only in our copy);
 *  - a restartable sequence (rseq) that it is in is aborted, as by any preemption: when its
 *    registers point elsewhere for a while, the kernel would forget about the sequence and then
 *    let it be finished, perhaps on another CPU.
 */
#include "remote/internal.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "remote/arch/x86_64/state.h"
#include "remote/wait.h"

#include <errno.h>
#include <linux/rseq.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

/* The sequence in progress, by its descriptor in the thread's rseq area. False if there is none. */
static bool rseq_find(const struct target_thread *th, uint64_t ip, raddr_t *field,
		      uint64_t *abort_ip)
{
	struct ptrace_rseq_configuration conf;
	struct err err = ERR_INIT;
	struct rseq_cs cs;
	uint64_t at;

	if (sys_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->tid, sizeof(conf),
		       (uint64_t)(uintptr_t)&conf) < 0 ||
	    !conf.rseq_abi_pointer)
		return false;
	*field = raddr(conf.rseq_abi_pointer + offsetof(struct rseq, rseq_cs));
	if (target_read(th->target, *field, &at, sizeof(at), &err) < 0 || !at ||
	    target_read(th->target, raddr(at), &cs, sizeof(cs), &err) < 0)
		return false;
	*abort_ip = cs.abort_ip;
	return ip - cs.start_ip < cs.post_commit_offset;
}

static int rseq_abort(struct target_thread *th, bool *changed, struct err *err)
{
	uint64_t abort_ip, none = 0;
	raddr_t field;

	if (!rseq_find(th, th->saved->gp.rip, &field, &abort_ip))
		return 0;
	TRY(target_write(th->target, field, &none, sizeof(none), err));
	th->saved->gp.rip = abort_ip;
	*changed = true;
	return 0;
}

struct dispatch_config { /* struct ptrace_sud_config, 6.4 */
	uint64_t mode, selector, offset, len;
};

/*
 * With syscall user dispatch the kernel turns system calls from outside a range of code into
 * SIGSYS, before any tracer sees them: the agent's too.
 */
static int refuse_dispatch(const struct target_thread *th, struct err *err)
{
	struct dispatch_config c = {0};

	if (sys_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, th->tid, sizeof(c),
		       (uint64_t)(uintptr_t)&c) < 0 ||
	    !c.mode)
		return 0;
	return err_refuse(err, "end the emulator that uses it (Wine, for one)",
			  "pid %d (%s): thread %d uses syscall user dispatch", th->target->pid,
			  th->target->comm, th->tid);
}

int thread_save(struct target_thread *th, struct err *err)
{
	bool changed;

	TRY(refuse_dispatch(th, err));
	TRY(arch_state_get(th->tid, &th->saved, err));
	TRY(thread_ptrace(th, PTRACE_GETSIGMASK, "PTRACE_GETSIGMASK", sizeof(th->sigmask),
			  (uint64_t)(uintptr_t)&th->sigmask, err));
	arch_regs_name_restarted(th->target, &th->saved->gp);
	changed = arch_regs_hide_eintr(&th->saved->gp);
	/* No system calls are allowed in a sequence. */
	if (!arch_in_syscall(&th->saved->gp))
		TRY(rseq_abort(th, &changed, err));
	return changed ? arch_gp_set(th->tid, &th->saved->gp, err) : 0;
}

/* In vfork() a parent waits uninterruptibly for its child; both share an address space. */
bool thread_in_vfork(const struct target_thread *th)
{
	char path[48];
	auto_free char *call = NULL;
	const char *p;
	struct proc_stat st;
	uint64_t nr;

	snprintf(path, sizeof(path), "task/%d/stat", th->tid);
	if (proc_read_stat(th->target->proc, path, &st) < 0 || st.state != 'D')
		return false;
	snprintf(path, sizeof(path), "task/%d/syscall", th->tid);
	if (io_read_file(th->target->proc, path, &call, NULL) < 0)
		return false;
	p = call;
	return scan_u64(&p, 10, &nr) && (nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3);
}

int thread_refuse_late(const struct target_thread *th, struct err *err)
{
	const struct target *t = th->target;
	char path[48];
	auto_free char *wchan = NULL;

	snprintf(path, sizeof(path), "task/%d/wchan", th->tid);
	if (io_read_file(t->proc, path, &wchan, NULL) < 0)
		wchan = NULL;
	return err_refuse(err, "raise --timeout, or wait until the kernel lets it go",
			  "pid %d (%s): thread %d doesn't stop (it waits in the kernel: %s)",
			  t->pid, t->comm, th->tid, wchan && wchan[0] ? wchan : "unknown");
}
