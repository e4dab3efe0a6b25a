/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and threads from outside.
 *
 * The root is a copy of torpor that waits on the mailbox until it is seized; everything of torpor
 * in it is then unmapped, closed and reset. All others are cloned by their parents with
 * CLONE_PTRACE: born traced by us with the same options (EXITKILL among them), in a stop, before
 * their first instruction. Ids are chosen with set_tid, which gives exactly one id: that in the
 * innermost pid namespace. What torpor sees it as is then looked up by NSpid.
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
#include "remote/internal.h"
#include "remote/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define TASK_END 0x7ffffffff000ULL /* higher addresses are only given to who asks for them */
#define SIGNALS	 64

void born_wait(int ours, int theirs) __attribute__((noreturn));
extern const uint8_t born_syscall[];

struct build {
	struct build_opts opts;
	int ours, theirs; /* the mailbox */
};

int build_new(const struct build_opts *opts, struct build **ret, struct err *err)
{
	struct build *b = xcalloc(1, sizeof(*b));
	int pair[2];

	if (opts->scratch_len < SCRATCH_LEN || opts->scratch.va % 4096) {
		free(b);
		return err_bug(err, "scratch area of %zu bytes at %#lx", opts->scratch_len,
			       opts->scratch.va);
	}
	/* Not SOCK_DGRAM: the root has to see the end of it when torpor dies. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(b);
		return err_sys(err, -errno, "socketpair for the mailbox");
	}
	*b = (struct build){.opts = *opts, .ours = pair[0], .theirs = pair[1]};
	*ret = b;
	return 0;
}

void build_free(struct build *b)
{
	if (!b)
		return;
	fd_close(b->ours);
	fd_close(b->theirs);
	free(b);
}

/* "pid 812 (nginx, child of 1)", as far as it can be seen. */
static int pid_taken(pid_t vpid, bool nested, struct err *err)
{
	struct proc_stat who;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/stat", vpid);
	if (!nested && proc_read_stat(AT_FDCWD, path, &who) == 0)
		err_sys(err, -EEXIST, "pid %d is taken by %s (state %c, child of %d)", vpid,
			who.comm, who.state, who.ppid);
	else if (nested)
		err_sys(err, -EEXIST, "pid %d is taken in its pid namespace", vpid);
	else /* also a process group or session of this number keeps it */
		err_sys(err, -EEXIST, "pid %d is taken (a thread, a process group or a session)",
			vpid);
	return err_hint(err, "end that process, or restore into a pid namespace of its own");
}

static int clone_failed(int code, pid_t vpid, bool nested, struct err *err)
{
	if (code == -EEXIST)
		return pid_taken(vpid, nested, err);
	err_sys(err, code, "create process or thread %d", vpid);
	if (code == -EPERM)
		return err_hint(err, "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN is needed in its pid "
				     "namespace to choose ids");
	if (code == -EINVAL)
		return err_hint(err, "is the id above kernel.pid_max?");
	if (code == -EAGAIN)
		return err_hint(err, "see ulimit -u, pids.max of the cgroup, kernel.threads-max");
	return code;
}

static struct scratch *half_made_scratch(const struct build *b)
{
	struct scratch *s = xcalloc(1, sizeof(*s));

	s->base = b->opts.scratch;
	s->len = b->opts.scratch_len;
	s->half_made = true;
	s->signo = BUILD_SIGNAL;
	s->mailbox = b->opts.mailbox;
	s->mailbox_ours = b->ours;
	return s;
}

/* The first stop of a task that is traced from birth or was just seized. */
static int first_stop(struct target_thread *th, struct err *err)
{
	struct stop stop;

	TRY(thread_wait(th, &stop, err));
	if (stop.kind != STOP_TRAP)
		return err_bug(err, "pid %d: first stop has status %#x", th->target->pid,
			       stop.status);
	th->seized = th->entered = true;
	return 0;
}

static int half_made_open(struct build *b, pid_t pid, struct target *parent, struct target **ret,
			  struct err *err)
{
	struct target *t;

	TRY(target_open(pid, &t, err));
	t->exitkill = true;
	t->parent = parent;
	t->scratch = half_made_scratch(b);
	target_add_thread(t, pid)->vtid = t->vpid;
	*ret = t;
	return 0;
}

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
	char text[256];

	TRY(root_call(th, nr, args, &call.ret, err));
	if (call.ret >= 0 || call.ret < -4095)
		return 0;
	memcpy(call.args, args, sizeof(call.args));
	return err_sys(err, (int)call.ret, "pid %d: %s", th->tid,
		       call_format(&call, text, sizeof(text)));
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

int build_root(struct build *b, uint64_t clone_flags, pid_t vpid, struct target **ret,
	       struct err *err)
{
	struct target *t;
	pid_t pid = clone_root(b, clone_flags, vpid);
	int r;

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

/* Which of the ids is `vid` in the innermost namespace? 0: none. */
static pid_t find_by_vid(int dirfd, const char *prefix, const struct proc_ids *ids, pid_t vid)
{
	for (size_t i = ids->len; i-- > 0;) { /* the newest is last */
		auto_free char *text = NULL;
		char path[64];
		uint64_t v;
		size_t levels;

		snprintf(path, sizeof(path), "%s%d/status", prefix, ids->data[i]);
		if (io_read_file(dirfd, path, &text, NULL) == 0 &&
		    proc_field_last(text, "NSpid", &v, &levels) && (pid_t)v == vid)
			return ids->data[i];
	}
	return 0;
}

/* The pid that torpor sees, of a child just made, by the one that its maker sees. */
static int child_pid(const struct target *maker, pid_t vpid, bool is_sibling, pid_t *ret,
		     struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	char path[64];
	pid_t parent = is_sibling ? maker->ppid : maker->pid;
	int proc, r;

	if (!maker->nested_pidns) {
		*ret = vpid;
		return 0;
	}
	proc = proc_open(parent);
	r = proc < 0 ? proc : proc_list_children(proc, parent, &ids);
	fd_close(proc);
	if (r < 0)
		return err_sys(err, r, "list children of pid %d", parent);
	snprintf(path, sizeof(path), "/proc/");
	*ret = find_by_vid(AT_FDCWD, path, &ids, vpid);
	return *ret ? 0
		    : err_gone(err, "pid %d in the namespace of pid %d: not found", vpid,
			       maker->pid);
}

struct clone_request {
	struct clone_args args;
	pid_t vid, pad;
};

/* A clone3 call with its arguments in the batch's data. */
static void batch_clone(struct batch *batch, uint64_t flags, int exit_signal, pid_t vid)
{
	raddr_t at = batch_space(batch, sizeof(struct clone_request));
	struct clone_request *q = batch_data(batch, at);

	q->vid = vid;
	q->args.flags = flags;
	q->args.exit_signal = (uint64_t)exit_signal;
	if (vid) {
		q->args.set_tid = at.va + offsetof(struct clone_request, vid);
		q->args.set_tid_size = 1;
	}
	batch_call(batch, SYS_clone3, at.va, sizeof(q->args));
}

int build_child(struct build *b, struct target *parent, uint64_t clone_flags, pid_t vpid,
		struct target **ret, struct err *err)
{
	auto_batch struct batch *batch = batch_new(target_leader(parent));
	bool is_sibling = clone_flags & CLONE_PARENT;
	struct target *t;
	pid_t pid = 0;
	int64_t r;

	batch_clone(batch, clone_flags | CLONE_PTRACE, is_sibling ? 0 : SIGCHLD, vpid);
	TRY(batch_run(batch, err));
	r = batch_ret(batch, 0);
	if (r < 0)
		return clone_failed((int)r, vpid,
				    parent->nested_pidns || clone_flags & CLONE_NEWPID, err);
	/* With CLONE_NEWPID it has one more number; the maker's view is what clone3 returned. */
	TRY(child_pid(parent, (pid_t)r, is_sibling, &pid, err));
	TRY(half_made_open(b, pid, is_sibling ? parent->parent : parent, &t, err));
	t->scratch->seq = parent->scratch->seq; /* it has a copy of the head */
	r = first_stop(target_leader(t), err);
	if (r < 0) {
		build_kill(t);
		target_free(t);
		return (int)r;
	}
	*ret = t;
	return 0;
}

#define THREADS_PER_BATCH 800
#define THREAD_FLAGS                                                                               \
	(CLONE_THREAD | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_SYSVSEM |        \
	 CLONE_PTRACE)

static int thread_tids(struct target *t, const pid_t *vtids, pid_t *tids, size_t n, struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	int r;

	memcpy(tids, vtids, n * sizeof(*tids));
	if (!t->nested_pidns)
		return 0;
	r = proc_list_dir(t->proc, "task", &ids);
	if (r < 0)
		return err_sys(err, r, "pid %d: list its threads", t->pid);
	for (size_t i = 0; i < n; i++) {
		tids[i] = find_by_vid(t->proc, "task/", &ids, vtids[i]);
		if (!tids[i])
			return err_gone(err, "pid %d: thread %d died", t->pid, vtids[i]);
		if (ids.len) /* mostly in this order: the next search starts at the end again */
			for (size_t j = ids.len; j-- > 0;)
				if (ids.data[j] == tids[i]) {
					ids.data[j] = ids.data[--ids.len];
					break;
				}
	}
	return 0;
}

static int some_threads(struct target *t, const pid_t *vtids, size_t n, struct err *err)
{
	auto_batch struct batch *batch = batch_new(target_leader(t));
	pid_t got[THREADS_PER_BATCH], tids[THREADS_PER_BATCH];

	for (size_t i = 0; i < n; i++) {
		batch_clone(batch, THREAD_FLAGS, 0, vtids[i]);
		batch_must(batch, i);
	}
	TRY(batch_run(batch, err));
	for (size_t i = 0; i < n; i++) {
		int64_t r = batch_ret(batch, i);

		if (r < 0)
			return clone_failed((int)r, vtids[i], t->nested_pidns, err);
		got[i] = (pid_t)r;
	}
	TRY(thread_tids(t, got, tids, n, err));
	for (size_t i = 0; i < n; i++)
		target_add_thread(t, tids[i])->vtid = got[i];
	for (size_t i = t->nthreads - n; i < t->nthreads; i++)
		TRY(first_stop(t->threads[i], err));
	return 0;
}

int build_threads(struct build *b, struct target *t, const pid_t *vtids, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i += THREADS_PER_BATCH)
		TRY(some_threads(t, vtids + i, MIN(n - i, (size_t)THREADS_PER_BATCH), err));
	return 0;
}

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

	batch_call(batch, SYS_prlimit64, 0, RLIMIT_CORE, lim.va); /* no second core dump */
	TRY(batch_run(batch, err));
	if (sys_tgkill(t->pid, th->tid, signo) < 0)
		return err_sys(err, -errno, "pid %d: send signal %d", t->pid, signo);
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

int build_block_all(struct target *t, struct err *err)
{
	t->scratch->signo = 0;
	for (size_t i = 0; i < t->nthreads; i++)
		TRY(thread_set_mask(t->threads[i], ~(uint64_t)0, err));
	return 0;
}

int build_set_state(struct target_thread *th, const struct arch_state *state, uint64_t sigmask,
		    struct err *err)
{
	struct arch_state s = *state;

	s.gp.orig_rax = (uint64_t)-1; /* no restart of a call that isn't there */
	if (arch_state_set(th->tid, &s, err) < 0)
		return err_in(err, "pid %d: thread %d", th->target->pid, th->vtid);
	return thread_set_mask(th, sigmask, err);
}

int build_strip(struct target *t, struct err *err)
{
	struct target_thread *th = target_leader(t);
	struct scratch *s = t->scratch;
	struct call_site site = {.ip = scratch_single(s)};
	struct agent_call unmap = {.nr = SYS_munmap, .args = {s->base.va, s->len}};
	int64_t r;

	/* A table shared with another task may have lost it already. */
	TRY(remote_call(th, &r, err, SYS_close, (uint64_t)s->mailbox));
	TRY(single_call(th, &site, SYS_munmap, unmap.args, &unmap.ret, err));
	call_log(th, &unmap);
	if (unmap.ret < 0)
		return err_sys(err, (int)unmap.ret, "pid %d: unmap the scratch area", t->pid);
	free(s);
	t->scratch = NULL;
	for (size_t i = 0; i < t->nthreads; i++)
		t->threads[i]->entered = t->threads[i]->in_agent = false;
	return 0;
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

int build_release(struct target *t, struct err *err)
{
	for (size_t i = 0; i < t->nthreads; i++)
		TRY(thread_resume(t->threads[i], RESUME_DETACH, 0, err));
	return 0;
}

void build_kill(struct target *t)
{
	struct err gone = ERR_INIT;

	if (t->state == TARGET_ZOMBIE || t->died)
		return;
	if (t->pidfd < 0 || sys_pidfd_send_signal(t->pidfd, SIGKILL) < 0)
		return;
	ignore(target_reap(t, &gone));
}
