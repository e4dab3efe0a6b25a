/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of a restored tree: a copy of torpor that waits on the mailbox until it is seized. Its
 * scratch area is mapped with the only instruction of torpor that it ever runs, and then everything
 * of torpor is unmapped, closed and reset from the agent.
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
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TASK_END 0x7ffffffff000ULL /* higher addresses are only given to who asks for them */
#define SIGNALS	 64

void born_wait(int ours, int theirs) __attribute__((noreturn));
extern const uint8_t born_syscall[];

/*
 * A child that bears the root and ends at once. Otherwise the end of torpor would be the death of
 * the root's parent, and a program that asked for a signal at that would get it. Torpor itself
 * mustn't be the one who adopts it.
 */
static pid_t clone_by_deputy(const struct build *b, struct clone_args *args)
{
	struct clone_args plain = {.exit_signal = SIGCHLD};
	pid_t *ret, pid, deputy;
	int adopts = 0;

	ret = mmap(NULL, sizeof(*ret), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ret == MAP_FAILED)
		return -errno;
	prctl(PR_GET_CHILD_SUBREAPER, &adopts);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	deputy = sys_clone3(&plain, sizeof(plain));
	if (deputy == 0) {
		pid = sys_clone3(args, sizeof(*args));
		if (pid == 0)
			born_wait(b->ours, b->theirs);
		*ret = pid;
		_exit(0);
	}
	if (deputy > 0)
		(void)sys_wait(deputy, NULL, 0);
	prctl(PR_SET_CHILD_SUBREAPER, adopts);
	pid = deputy < 0 ? deputy : *ret;
	munmap(ret, sizeof(*ret));
	return pid ? pid : -ECHILD; /* killed before it could do anything */
}

static pid_t clone_root(const struct build *b, uint64_t flags, pid_t vpid)
{
	struct clone_args args = {
		.flags = flags,
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&vpid,
		.set_tid_size = vpid ? 1 : 0,
	};
	sigset_t all, old;
	pid_t pid;

	/* What a terminal sends to us isn't for it: blocked from its first instruction on. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	if (b->opts.orphan_root && !(flags & CLONE_PARENT))
		pid = clone_by_deputy(b, &args);
	else
		pid = sys_clone3(&args, sizeof(args));
	if (pid == 0)
		born_wait(b->ours, b->theirs);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static int root_call(struct target_thread *th, long nr, const uint64_t args[6], int64_t *ret,
		     struct err *err)
{
	struct user_regs_struct regs;
	struct call_site site = {.ip = (uint64_t)(uintptr_t)born_syscall};
	struct agent_call call = {.nr = (uint64_t)nr};

	TRY(arch_gp_get(th->tid, &regs, err));
	site.sp = regs.rsp;
	memcpy(call.args, args, sizeof(call.args));
	TRY(single_call(th, &site, nr, args, &call.ret, err));
	call_log(th, &call);
	*ret = call.ret;
	return 0;
}

static int root_must(struct target_thread *th, long nr, const uint64_t args[6], struct err *err)
{
	struct agent_call call = {.nr = (uint64_t)nr};
	char text[CALL_TEXT];

	TRY(root_call(th, nr, args, &call.ret, err));
	if (call.ret >= 0 || call.ret < -4095)
		return 0;
	memcpy(call.args, args, sizeof(call.args));
	return err_sys(err, (int)call.ret, "pid %d: %s", th->tid, call_format(&call, text));
}

/* The C library's rseq area is about to be unmapped; the kernel would kill the task for that. */
static int root_forget_rseq(struct target_thread *th, struct err *err)
{
	struct ptrace_rseq_configuration c = {0};

	if (sys_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->tid, sizeof(c), (uint64_t)(uintptr_t)&c) <
		    0 ||
	    !c.rseq_abi_pointer)
		return 0;
	return root_must(th, SYS_rseq,
			 (const uint64_t[6]){c.rseq_abi_pointer, c.rseq_abi_size,
					     1 /* RSEQ_FLAG_UNREGISTER */, c.signature},
			 err);
}

static int root_map_scratch(struct build *b, struct target_thread *th, struct err *err)
{
	uint64_t at = b->opts.scratch.va, len = b->opts.scratch_len;
	uint64_t own = (uint64_t)(uintptr_t)born_syscall;

	if (own >= at && own < at + len)
		return err_bug(err, "scratch area %#lx lies over torpor's own code", at);
	TRY(root_must(th, SYS_mmap,
		      (const uint64_t[6]){at, len, PROT_READ | PROT_EXEC,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1},
		      err));
	TRY(agent_install(th->target, b->opts.scratch, err));
	return root_must(th, SYS_mprotect,
			 (const uint64_t[6]){at + SCRATCH_SLOT(0), len - SCRATCH_SLOT(0),
					     PROT_READ | PROT_WRITE},
			 err);
}

static void must_call(struct batch *batch, long nr, const uint64_t args[6])
{
	batch_must(batch, batch_call_args(batch, nr, args));
}
#define MUST_CALL(batch, nr, ...) must_call((batch), (nr), (const uint64_t[6]){__VA_ARGS__})

/* Nothing of torpor stays: memory, descriptors, handlers, what the C library registered. */
static int root_empty(struct build *b, struct target_thread *th, struct err *err)
{
	auto_batch struct batch *batch = batch_new(th);
	uint64_t at = b->opts.scratch.va, end = at + b->opts.scratch_len;
	uint64_t mailbox = (uint64_t)b->opts.mailbox;
	struct rlimit lim;
	stack_t no_stack = {.ss_flags = SS_DISABLE};
	uint64_t default_action[4] = {0};
	raddr_t p;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max; /* its own limits are set at the end */
	p = batch_put(batch, &lim, sizeof(lim));
	MUST_CALL(batch, SYS_prlimit64, 0, RLIMIT_NOFILE, p.va);
	if (b->theirs != b->opts.mailbox)
		MUST_CALL(batch, SYS_dup3, (uint64_t)b->theirs, mailbox, O_CLOEXEC);
	if (mailbox)
		MUST_CALL(batch, SYS_close_range, 0, mailbox - 1);
	MUST_CALL(batch, SYS_close_range, mailbox + 1, UINT32_MAX);
	p = batch_put(batch, &no_stack, sizeof(no_stack));
	MUST_CALL(batch, SYS_sigaltstack, p.va);
	p = batch_put(batch, default_action, sizeof(default_action));
	for (uint64_t signo = 1; signo <= SIGNALS; signo++)
		if (signo != SIGKILL && signo != SIGSTOP)
			MUST_CALL(batch, SYS_rt_sigaction, signo, p.va, 0, 8);
	MUST_CALL(batch, SYS_set_robust_list, 0, 24);
	MUST_CALL(batch, SYS_set_tid_address, 0);
	MUST_CALL(batch, SYS_umask, 0);
	MUST_CALL(batch, SYS_munmap, 0, at);
	MUST_CALL(batch, SYS_munmap, end, TASK_END - end);
	TRY(batch_run(batch, err));
	if (batch_expect_all(batch, err) < 0)
		return err_hint(err, "is RLIMIT_NOFILE above %d?", b->opts.mailbox);
	return 0;
}

static int root_take(struct build *b, struct target *t, struct err *err)
{
	struct target_thread *th = target_leader(t);
	long r = sys_ptrace(PTRACE_SEIZE, t->pid, 0,
			    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP);

	if (r == -EPERM || r == -EINVAL)
		r = sys_ptrace(PTRACE_SEIZE, t->pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	if (r < 0)
		return err_sys(err, (int)r, "pid %d: PTRACE_SEIZE", t->pid);
	TRY(thread_ptrace(th, PTRACE_INTERRUPT, "PTRACE_INTERRUPT", 0, 0, err));
	TRY(first_stop(th, err));
	TRY(root_forget_rseq(th, err));
	TRY(root_map_scratch(b, th, err));
	return root_empty(b, th, err);
}

bool pid_is_passing(int code, pid_t vpid, bool nested, int *tries)
{
	if (code != -EEXIST || nested || ++*tries > 100 || sys_kill(vpid, 0) != -ESRCH)
		return false;
	usleep(1000); /* lint: allow, there is no event */
	return true;
}

int build_root(struct build *b, uint64_t clone_flags, pid_t vpid, struct target **ret,
	       struct err *err)
{
	struct target *t;
	int r, tries = 0;
	pid_t pid;

	do
		pid = clone_root(b, clone_flags, vpid);
	while (pid_is_passing(pid, vpid, clone_flags & CLONE_NEWPID, &tries));
	if (pid < 0)
		return clone_failed(pid, vpid, clone_flags & CLONE_NEWPID, err);
	r = half_made_open(b, pid, NULL, &t, err);
	if (r < 0) {
		(void)sys_kill(pid, SIGKILL);
		(void)sys_wait(pid, NULL, 0);
		return r;
	}
	log_debug("pid %d: created, %d in its namespace", pid, t->vpid);
	r = root_take(b, t, err);
	if (r < 0) {
		build_kill(t);
		target_free(t);
		return r;
	}
	*ret = t;
	return 0;
}
