/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half-made processes that end as they were found: zombies, and stopped ones.
 *
 * Of a zombie, a core dump made at its death (0x80 in its wait status) can't be brought back:
 * the kernel sets that bit when it has written one.
 */
#include "remote/build.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "remote/batch.h"
#include "remote/build_parts.h"
#include "remote/internal.h"
#include "remote/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SIGNALS 64

/* The death of a child is nothing that its parent's program should hear of again. */
static int flush_sigchld(struct target *parent, struct err *err)
{
	auto_batch struct batch *batch = NULL;
	uint64_t default_action[4] = {0};
	raddr_t dfl, old;

	if (!parent || !parent->scratch)
		return 0;
	batch = batch_new(target_leader(parent));
	dfl = batch_put(batch, default_action, sizeof(default_action));
	old = batch_space(batch, sizeof(default_action));
	/* Setting a default that is "ignore" discards what is pending. */
	batch_call(batch, SYS_rt_sigaction, SIGCHLD, dfl.va, old.va, 8);
	batch_call(batch, SYS_rt_sigaction, SIGCHLD, old.va, 0, 8);
	return batch_run(batch, err);
}

static int exit_by_call(struct target_thread *th, int code, struct err *err)
{
	struct scratch *s = th->target->scratch;
	struct user_regs_struct regs;

	TRY(arch_gp_get(th->tid, &regs, err));
	regs.rip = scratch_single(s);
	regs.orig_rax = (uint64_t)-1;
	regs.rax = SYS_exit_group;
	regs.rdi = (uint64_t)code;
	TRY(arch_gp_set(th->tid, &regs, err));
	return thread_resume(th, RESUME_CONT, 0, err);
}

static int exit_by_signal(struct target_thread *th, int signo, struct err *err)
{
	struct target *t = th->target;
	auto_batch struct batch *batch = batch_new(th);
	struct rlimit none = {0, 0};
	struct stop stop;
	raddr_t lim = batch_put(batch, &none, sizeof(none));
	int r;

	batch_call(batch, SYS_prlimit64, 0, RLIMIT_CORE, lim.va); /* no second core dump */
	TRY(batch_run(batch, err));
	r = sys_tgkill(t->pid, th->tid, signo);
	if (r < 0)
		return err_sys(err, r, "pid %d: send signal %d", t->pid, signo);
	if (signo == SIGKILL)
		return 0;
	TRY(thread_set_mask(th, ~(1ULL << (signo - 1)), err));
	TRY(thread_resume(th, RESUME_CONT, 0, err));
	TRY(thread_wait(th, &stop, err));
	if (stop.kind != STOP_SIGNAL || stop.signo != signo)
		return err_bug(err, "pid %d: status %#x instead of signal %d", t->pid, stop.status,
			       signo);
	return thread_resume(th, RESUME_CONT, signo, err);
}

static bool signal_kills(int signo)
{
	switch (signo) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return false;
	default:
		return signo > 0 && signo <= SIGNALS;
	}
}

int build_exit(struct target *t, int wait_status, struct err *err)
{
	struct target_thread *th = target_leader(t);
	int status = 0;

	if (!t->parent)
		return err_bug(err, "pid %d: a zombie needs a restored parent", t->pid);
	if (WIFEXITED(wait_status))
		TRY(exit_by_call(th, WEXITSTATUS(wait_status), err));
	else if (WIFSIGNALED(wait_status) && signal_kills(WTERMSIG(wait_status)))
		TRY(exit_by_signal(th, WTERMSIG(wait_status), err));
	else
		return err_input(err, "pid %d: %#x isn't the status of a dead process", t->vpid,
				 wait_status);
	TRY(thread_wait_death(th, &status, err));
	if ((status & ~0x80) != (wait_status & ~0x80))
		return err_bug(err, "pid %d: died with status %#x instead of %#x", t->pid, status,
			       wait_status);
	target_drop_threads(t, NULL);
	free(t->scratch);
	t->scratch = NULL;
	t->state = TARGET_ZOMBIE;
	t->exit_status = wait_status;
	return flush_sigchld(t->parent, err);
}

int build_reap(struct target *parent, pid_t vpid, struct err *err)
{
	int64_t r;

	TRY(remote_call(target_leader(parent), &r, err, SYS_wait4, (uint64_t)vpid, 0, __WALL));
	if (r < 0)
		return err_sys(err, (int)r, "pid %d: wait for its child %d", parent->pid, vpid);
	return flush_sigchld(parent, err);
}

/*
 * The stop signal is delivered while all others are blocked, so that not one instruction runs, nor
 * any handler, before it; the interrupt that is then pending stops the thread in any case. 1: in
 * group-stop, 0: not.
 */
static int stop_by(struct target_thread *th, int signo, struct err *err)
{
	struct target *t = th->target;
	struct stop stop;
	uint64_t mask;

	TRY(thread_ptrace(th, PTRACE_GETSIGMASK, "PTRACE_GETSIGMASK", sizeof(mask),
			  (uint64_t)(uintptr_t)&mask, err));
	TRY(thread_set_mask(th, ~(1ULL << (signo - 1)), err));
	if (sys_tgkill(t->pid, th->tid, signo) < 0)
		return err_gone(err, "pid %d (%s): died", t->pid, t->comm);
	TRY(thread_resume(th, RESUME_CONT, 0, err));
	TRY(thread_wait(th, &stop, err));
	if (stop.kind != STOP_SIGNAL || stop.signo != signo)
		return err_bug(err, "pid %d: status %#x instead of signal %d", t->pid, stop.status,
			       signo);
	TRY(thread_ptrace(th, PTRACE_INTERRUPT, "PTRACE_INTERRUPT", 0, 0, err));
	TRY(thread_resume(th, RESUME_CONT, signo, err));
	TRY(thread_wait(th, &stop, err));
	TRY(thread_set_mask(th, mask, err));
	return stop.kind == STOP_GROUP;
}

/* Can this signal stop the process now? Not if it is caught or ignored. */
static bool stop_signal_works(const struct target *t, int signo)
{
	auto_free char *text = NULL;
	uint64_t caught = 0, ignored = 0;

	if (signo == SIGSTOP)
		return true;
	return io_read_file(t->proc, "status", &text, NULL) == 0 &&
	       proc_field_u64(text, "SigCgt", 16, &caught) &&
	       proc_field_u64(text, "SigIgn", 16, &ignored) &&
	       !((caught | ignored) >> (signo - 1) & 1);
}

int build_stop(struct target *t, int stop_signo, struct err *err)
{
	int r = 0;

	if (stop_signal_works(t, stop_signo))
		r = stop_by(target_leader(t), stop_signo, err);
	/* Caught by now, or ignored as its process group is an orphaned one. */
	if (r == 0)
		r = stop_by(target_leader(t), SIGSTOP, err);
	return r < 0 ? r : 0;
}

int build_forget_stop(struct target *parent, pid_t vpid, struct err *err)
{
	int64_t ret;

	TRY(remote_call(target_leader(parent), &ret, err, SYS_waitid, P_PID, (uint64_t)vpid, 0,
			WSTOPPED | WNOHANG, 0));
	if (ret < 0 && ret != -ECHILD) /* ECHILD: it has another parent by now */
		return err_sys(err, (int)ret, "pid %d: waiting for its stopped child %d",
			       parent->pid, vpid);
	return 0;
}
