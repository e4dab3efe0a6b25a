/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stops of tracees, as wait4() reports them (ptrace(2), "Stopped tracees").
 *
 * All tracees are attached with PTRACE_SEIZE and PTRACE_O_TRACESYSGOOD, so every stop is
 * recognised by its status alone: PTRACE_EVENT_STOP carries SIGTRAP for an interrupt and the
 * stopping signal for a group-stop, a system call stop carries SIGTRAP | 0x80.
 *
 * A thread group leader that dies is reported only after all its other threads have been reaped,
 * and those are ours to reap as long as we trace them. A plain wait4(leader) would therefore hang
 * when somebody kills a multi-threaded target: thread_wait() looks after the others now and then.
 */
#include "remote/wait.h"

#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static void stop_decode(int status, struct stop *ret)
{
	int event = status >> 16, signo = WSTOPSIG(status);

	*ret = (struct stop){.status = status, .signo = signo};
	if (!WIFSTOPPED(status))
		ret->kind = STOP_GONE;
	else if (event == PTRACE_EVENT_STOP)
		ret->kind = signo == SIGTRAP ? STOP_TRAP : STOP_GROUP;
	else if (event)
		ret->kind = STOP_EVENT;
	else
		ret->kind = signo == (SIGTRAP | 0x80) ? STOP_SYSCALL : STOP_SIGNAL;
}

static pid_t wait_retry(pid_t tid, int *status, int flags)
{
	pid_t pid;

	do
		pid = sys_wait(tid, status, flags);
	while (pid == -EINTR);
	return pid;
}

/*
 * Tracees answer within microseconds. To sleep at once would cost a wakeup of an idle CPU on
 * either side, which in a virtual machine is several times as long as what we wait for.
 */
#define POLLS_BEFORE_SLEEP 100

static pid_t wait_shortly(pid_t tid, int *status)
{
	pid_t pid = 0;

	for (int i = 0; i < POLLS_BEFORE_SLEEP && pid == 0; i++) {
		if (i)
			sched_yield(); /* it may have been put on this CPU */
		pid = wait_retry(tid, status, WNOHANG);
	}
	return pid;
}

int thread_poll(struct target_thread *th, struct stop *ret, struct err *err)
{
	siginfo_t info = {0};
	int status;
	pid_t pid;

	/*
	 * Only looked at, not taken: to take the report of a signal-delivery-stop would mean that
	 * the signal is lost if we die before we hand it on.
	 */
	for (int i = 0; i < POLLS_BEFORE_SLEEP && !info.si_pid; i++) {
		if (i)
			sched_yield();
		if (waitid(P_PID, (id_t)th->tid, &info,
			   WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 &&
		    errno != EINTR)
			break;
	}
	if (info.si_pid && info.si_code == CLD_TRAPPED) {
		/* si_status is the upper part of what wait4() gives. */
		stop_decode(info.si_status << 8 | 0x7f, ret);
		if (ret->kind == STOP_SIGNAL)
			return 1;
	}
	pid = wait_retry(th->tid, &status, WNOHANG);
	if (pid == 0)
		return 0;
	if (pid == -ECHILD) { /* another thread's execve() took our tid away, or it was reaped */
		*ret = (struct stop){.kind = STOP_GONE};
		return 1;
	}
	if (pid < 0)
		return err_sys(err, pid, "wait for thread %d", th->tid);
	stop_decode(status, ret);
	return 1;
}

void wait_for_news(int timeout_ms)
{
	struct timespec ts = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	sigset_t chld, old;

	/* Blocked, SIGCHLD is kept for sigtimedwait(): no event between poll and sleep is lost. */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	sigtimedwait(&chld, NULL, &ts);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

int target_reap(struct target *t, struct err *err)
{
	int status;

	for (size_t i = t->nthreads; i-- > 0;) { /* the leader last: see the head */
		struct target_thread *th = t->threads[i];

		while (th->seized && wait_retry(th->tid, &status, 0) > 0 && WIFSTOPPED(status))
			(void)sys_ptrace(PTRACE_CONT, th->tid, 0, 0);
		th->seized = false;
	}
	t->died = true;
	return err_gone(err, "pid %d (%s): killed by somebody while it was frozen", t->pid,
			t->comm);
}

/* A leader is the only one whose death isn't reported at once. */
static int leader_wait(struct target_thread *th, int *status)
{
	struct target_thread *other = th->target->threads[1];
	sigset_t chld, old;
	siginfo_t dead = {0};
	pid_t pid;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	while ((pid = wait_retry(th->tid, status, WNOHANG)) == 0) {
		struct timespec slice = {.tv_nsec = 20 * 1000000L};

		if (sigtimedwait(&chld, NULL, &slice) > 0)
			continue;
		/* Nothing for a while: has the kernel killed its threads? */
		if (waitid(P_PID, (id_t)other->tid, &dead, WEXITED | WNOHANG | WNOWAIT | __WALL) ==
			    0 &&
		    dead.si_pid == other->tid) {
			pid = -ESRCH;
			break;
		}
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

int thread_wait(struct target_thread *th, struct stop *ret, struct err *err)
{
	struct target *t = th->target;
	int status, pid = wait_shortly(th->tid, &status);

	if (pid != 0)
		; /* done */
	else if (t->nthreads > 1 && th == target_leader(t))
		pid = leader_wait(th, &status);
	else
		pid = wait_retry(th->tid, &status, 0);
	if (pid == -ESRCH || pid == -ECHILD)
		return target_reap(t, err);
	if (pid < 0)
		return err_sys(err, pid, "pid %d (%s): wait for thread %d", t->pid, t->comm,
			       th->tid);
	stop_decode(status, ret);
	if (ret->kind == STOP_GONE) {
		th->seized = false;
		return target_reap(t, err);
	}
	return 0;
}

int thread_wait_death(struct target_thread *th, int *ret_status, struct err *err)
{
	const struct target *t = th->target;
	int status;
	pid_t pid;

	while ((pid = wait_retry(th->tid, &status, 0)) > 0 && WIFSTOPPED(status))
		TRY(thread_resume(th, RESUME_CONT, 0, err));
	if (pid < 0)
		return err_sys(err, pid, "pid %d (%s): wait for its death", t->pid, t->comm);
	th->seized = false;
	*ret_status = status;
	return 0;
}

int thread_ptrace(const struct target_thread *th, int request, const char *name, uint64_t addr,
		  uint64_t data, struct err *err)
{
	const struct target *t = th->target;
	long r = sys_ptrace(request, th->tid, addr, data);

	if (r == -ESRCH)
		return err_gone(err, "pid %d (%s): thread %d died (%s)", t->pid, t->comm, th->tid,
				name);
	if (r < 0)
		return err_sys(err, (int)r, "pid %d (%s): %s of thread %d", t->pid, t->comm, name,
			       th->tid);
	return 0;
}

int thread_resume(struct target_thread *th, enum resume_how how, int signo, struct err *err)
{
	switch (how) {
	case RESUME_CONT:
		return thread_ptrace(th, PTRACE_CONT, "PTRACE_CONT", 0, (uint64_t)signo, err);
	case RESUME_SYSCALL:
		return thread_ptrace(th, PTRACE_SYSCALL, "PTRACE_SYSCALL", 0, (uint64_t)signo, err);
	case RESUME_DETACH:
		TRY(thread_ptrace(th, PTRACE_DETACH, "PTRACE_DETACH", 0, (uint64_t)signo, err));
		th->seized = false;
		return 0;
	}
	return err_bug(err, "resume_how %d", how);
}

int stop_passes(const struct stop *stop)
{
	return stop->kind == STOP_SIGNAL && stop->signo == SIGSTOP ? SIGSTOP : 0;
}

int thread_set_mask(const struct target_thread *th, uint64_t mask, struct err *err)
{
	return thread_ptrace(th, PTRACE_SETSIGMASK, "PTRACE_SETSIGMASK", sizeof(mask),
			     (uint64_t)(uintptr_t)&mask, err);
}
