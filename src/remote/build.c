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
 * The root is made in build_root.c, zombies and stopped processes in build_exit.c.
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
#include "remote/guard.h"
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

int clone_failed(int code, pid_t vpid, bool nested, struct err *err)
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

int first_stop(struct target_thread *th, struct err *err)
{
	struct stop stop;

	TRY(thread_wait(th, &stop, err));
	if (stop.kind != STOP_TRAP)
		return err_bug(err, "pid %d: first stop has status %#x", th->target->pid,
			       stop.status);
	th->seized = th->entered = true;
	return 0;
}

int half_made_open(struct build *b, pid_t pid, struct target *parent, struct target **ret,
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

/* Which of the processes is `vid` in the innermost namespace? 0: none. */
static pid_t find_by_vid(const struct proc_ids *ids, pid_t vid)
{
	for (size_t i = ids->len; i-- > 0;) { /* the newest is last */
		auto_free char *text = NULL;
		char path[32];
		uint64_t v;
		size_t levels;

		snprintf(path, sizeof(path), "/proc/%d/status", ids->data[i]);
		if (io_read_file(AT_FDCWD, path, &text, NULL) == 0 &&
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
	*ret = find_by_vid(&ids, vpid);
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
	int tries = 0;
	int64_t r;

	do {
		batch_reset(batch);
		batch_clone(batch, clone_flags | CLONE_PTRACE, is_sibling ? 0 : SIGCHLD, vpid);
		TRY(batch_run(batch, err));
		r = batch_ret(batch, 0);
	} while (pid_is_passing((int)r, vpid, parent->nested_pidns || clone_flags & CLONE_NEWPID,
				&tries));
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

struct tid_pair {
	pid_t vtid, tid;
};

static int tid_pair_cmp(const void *a, const void *b)
{
	const struct tid_pair *x = a, *y = b;

	return (x->vtid > y->vtid) - (x->vtid < y->vtid);
}

static int pid_cmp(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

/* The threads that aren't in t->threads yet, sorted by their numbers in the namespace. */
static int list_new_threads(const struct target *t, struct tid_pair **ret, size_t *ret_n,
			    struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	auto_free pid_t *known = xcalloc(t->nthreads, sizeof(*known));
	struct tid_pair *pairs;
	size_t n = 0, levels;
	int r = proc_list_dir(t->proc, "task", &ids);

	if (r < 0)
		return err_sys(err, r, "pid %d: list its threads", t->pid);
	for (size_t i = 0; i < t->nthreads; i++)
		known[i] = t->threads[i]->tid;
	qsort(known, t->nthreads, sizeof(*known), pid_cmp);
	pairs = xcalloc(ids.len + 1, sizeof(*pairs));
	for (size_t i = 0; i < ids.len; i++) {
		auto_free char *text = NULL;
		char path[64];
		uint64_t v;

		if (bsearch(&ids.data[i], known, t->nthreads, sizeof(*known), pid_cmp))
			continue;
		snprintf(path, sizeof(path), "task/%d/status", ids.data[i]);
		if (io_read_file(t->proc, path, &text, NULL) == 0 &&
		    proc_field_last(text, "NSpid", &v, &levels))
			pairs[n++] = (struct tid_pair){(pid_t)v, ids.data[i]};
	}
	qsort(pairs, n, sizeof(*pairs), tid_pair_cmp);
	*ret = pairs;
	*ret_n = n;
	return 0;
}

/* What torpor sees new threads as. */
static int thread_tids(struct target *t, const pid_t *vtids, pid_t *tids, size_t n, struct err *err)
{
	auto_free struct tid_pair *pairs = NULL;
	size_t npairs = 0;

	memcpy(tids, vtids, n * sizeof(*tids));
	if (!t->nested_pidns)
		return 0;
	TRY(list_new_threads(t, &pairs, &npairs, err));
	for (size_t i = 0; i < n; i++) {
		struct tid_pair key = {.vtid = vtids[i]}, *found;

		found = bsearch(&key, pairs, npairs, sizeof(*pairs), tid_pair_cmp);
		if (!found)
			return err_gone(err, "pid %d: thread %d died", t->pid, vtids[i]);
		tids[i] = found->tid;
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

static void untie(const struct target *t)
{
	for (size_t i = 0; i < t->nthreads; i++)
		(void)sys_ptrace(PTRACE_SETOPTIONS, t->threads[i]->tid, 0, 0); /* or it is dead */
}

void build_commit(const struct target_tree *tree)
{
	struct guard guard;

	guard_start(&guard, tree, GUARD_KILLS_UNLESS_TOLD);
	for (size_t i = 0; i < tree->n; i++)
		untie(tree->targets[i]);
	guard_tell(&guard);
	guard_end(&guard);
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
