/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that a torpor which was killed left in its agent. They are on their way back to their
 * own state, but a quick second torpor (or SIGSTOP) can catch them there: what shows then are the
 * agent's registers, and the frame and the code that they need may not be touched. So they are led
 * out, from one system call stop to the next, until rt_sigreturn has given them their own state.
 */
#include "remote/internal.h"

#include "base/log.h"
#include "kernel/uapi/ptrace.h"
#include "remote/arch/x86_64/agent.h"
#include "remote/arch/x86_64/frame.h"
#include "remote/arch/x86_64/state.h"
#include "remote/wait.h"

#include <signal.h>

/* A batch, the cleanup list, and the way out, two stops for each call. */
#define STEPS_MAX (2 * (SCRATCH_CALLS_SIZE / CALL_SIZE + CLEANUP_MAX + 8))

/* The agent's own signals. Others are blocked meanwhile. */
#define AGENT_SIGNALS (1ULL << (SIGURG - 1) | 1ULL << (SIGWINCH - 1) | 1ULL << (SIGCHLD - 1))

/* One step; *signo is what to resume with, *out: it has arrived. */
static int limbo_step(struct target_thread *th, int *signo, bool *out, struct err *err)
{
	struct user_regs_struct regs;
	struct stop stop;

	TRY(thread_resume(th, RESUME_SYSCALL, *signo, err));
	TRY(thread_wait(th, &stop, err));
	*signo = stop_passes(&stop);
	if (stop.kind != STOP_SYSCALL)
		return 0;
	TRY(arch_gp_get(th->tid, &regs, err));
	*out = !frame_is_awaited(th->target, &regs);
	return 0;
}

/* From the exit of rt_sigreturn to a stop as any other thread is in. */
static int stop_anew(struct target_thread *th, struct stop *ret, struct err *err)
{
	TRY(thread_ptrace(th, PTRACE_INTERRUPT, "PTRACE_INTERRUPT", 0, 0, err));
	TRY(thread_resume(th, RESUME_CONT, 0, err));
	return thread_wait(th, ret, err);
}

int thread_leave_limbo(struct target_thread *th, struct err *err)
{
	const struct target *t = th->target;
	struct stop stop;
	bool out = false;
	int signo = 0;

	if (!frame_is_awaited(t, &th->saved->gp))
		return 0;
	log_debug("pid %d (%s): thread %d is led out of a former tracer's agent", t->pid, t->comm,
		  th->tid);
	TRY(thread_set_mask(th, ~AGENT_SIGNALS, err));
	for (int i = 0; i < STEPS_MAX && !out; i++)
		TRY(limbo_step(th, &signo, &out, err));
	if (!out)
		return err_bug(err,
			       "pid %d (%s): thread %d doesn't come out of a former tracer's agent",
			       t->pid, t->comm, th->tid);
	TRY(stop_anew(th, &stop, err));
	if (stop.kind != STOP_TRAP && stop.kind != STOP_GROUP)
		return err_bug(err, "pid %d (%s): thread %d: status %#x", t->pid, t->comm, th->tid,
			       stop.status);
	arch_state_free(th->saved);
	th->saved = NULL;
	return thread_save(th, err);
}
