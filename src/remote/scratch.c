/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads in the agent, and calls made one by one.
 *
 * A thread enters the agent by three steps, each of which may be our last:
 *
 *  1. its frame is written into its slot (nobody looks at it yet),
 *  2. its registers are set to the agent's entry. Should we die now, it finds that there is no
 *     batch, and rt_sigreturn on the frame brings it back, mask included;
 *  3. all signals but the agent's are blocked.
 *
 * It is put back in the opposite order, with the registers as they were read: a code -ERESTART* in
 * rax and the call's number in orig_rax make the kernel restart an interrupted call when the
 * thread is detached, with its restart_block (the rest of a nanosleep) intact, as the agent never
 * calls rt_sigreturn while we live. Detaching wakes the thread with TIF_SIGPENDING set, so that
 * it passes the code that does this from any kind of stop.
 */
#include "remote/scratch.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/vec.h"
#include "kernel/sys.h"
#include "kernel/sysname.h"
#include "kernel/uapi/ptrace.h"
#include "remote/arch/x86_64/frame.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

_Static_assert(sizeof(struct agent_call) == CALL_SIZE, "struct agent_call and agent.S");
_Static_assert(offsetof(struct agent_call, ret) == CALL_RET, "struct agent_call and agent.S");
_Static_assert(offsetof(struct agent_call, flags) == CALL_FLAGS, "struct agent_call and agent.S");
_Static_assert(offsetof(struct agent_head, tgid) == HEAD_TGID, "struct agent_head and agent.S");
_Static_assert(offsetof(struct agent_head, seq) == HEAD_SEQ, "struct agent_head and agent.S");
_Static_assert(offsetof(struct agent_cleanup, calls) == CLEANUP_CALLS, "agent_cleanup");
_Static_assert(offsetof(struct agent_exit, len) == EXIT_LEN, "struct agent_exit and agent.S");
_Static_assert(SCRATCH_SLOT(SCRATCH_SLOTS) <= SCRATCH_SHARED, "slots overlap");
_Static_assert(SCRATCH_CALLS + SCRATCH_CALLS_SIZE <= SCRATCH_DATA, "calls overlap");
_Static_assert(SCRATCH_DATA + SCRATCH_DATA_SIZE <= SCRATCH_LEN, "data overlaps");

/* Sizes and descriptors in decimal, what may be an address in hex. At most 18 characters. */
static char *put_arg(char *p, uint64_t v)
{
	bool small = v + 4095 < 2 * 4095 + 1, negative = small && (int64_t)v < 0;
	char digits[16];
	int n = 0;

	v = negative ? -v : v;
	do {
		digits[n++] = "0123456789abcdef"[small ? v % 10 : v % 16];
		v = small ? v / 10 : v / 16;
	} while (v);
	if (negative)
		*p++ = '-';
	if (!small) {
		*p++ = '0';
		*p++ = 'x';
	}
	while (n)
		*p++ = digits[--n];
	return p;
}

/* By hand: at -v4 there is one for each call, and printf would be half of the cost of the log. */
const char *call_format(const struct agent_call *call, char buf[CALL_TEXT])
{
	char name[24], *p = buf;
	const char *from = sys_name((long)call->nr, name, sizeof(name));
	int last = 5;

	while (last >= 0 && !call->args[last])
		last--;
	p = stpncpy(p, from, CALL_NAME_MAX);
	*p++ = '(';
	for (int i = 0; i <= last; i++) {
		if (i) {
			*p++ = ',';
			*p++ = ' ';
		}
		p = put_arg(p, call->args[i]);
	}
	*p++ = ')';
	*p = '\0';
	return buf;
}

void call_log(const struct target_thread *th, const struct agent_call *call)
{
	const struct target *t = th->target;
	char text[CALL_TEXT], thread[32] = "";

	if (log_level() < LOG_DEBUG)
		return;
	call_format(call, text);
	if (th->tid != t->pid)
		snprintf(thread, sizeof(thread), " thread %d", th->tid);
	if (call->ret < 0 && call->ret > -4096)
		log_debug("pid %d (%s)%s: %s = -%s", t->pid, t->comm, thread, text,
			  strerrorname_np((int)-call->ret) ?: "?");
	else if (call->ret < 65536)
		log_debug("pid %d (%s)%s: %s = %ld", t->pid, t->comm, thread, text, call->ret);
	else
		log_debug("pid %d (%s)%s: %s = %#lx", t->pid, t->comm, thread, text, call->ret);
}

int signal_hold(struct target_thread *th, int signo, struct err *err)
{
	struct target *t = th->target;
	struct user_regs_struct regs = {0};
	siginfo_t info;

	if (signo == SIGSTOP)
		return 0;
	TRY(thread_ptrace(th, PTRACE_GETSIGINFO, "PTRACE_GETSIGINFO", 0, (uint64_t)(uintptr_t)&info,
			  err));
	if (signo != t->scratch->signo) {
		TRY(arch_gp_get(th->tid, &regs, err));
		return err_bug(err,
			       "pid %d (%s): thread %d: signal %d in the agent, code %d, ip %#llx",
			       t->pid, t->comm, th->tid, signo, info.si_code, regs.rip);
	}
	if (!th->held) {
		th->held = xcalloc(1, sizeof(*th->held));
		*th->held = info;
	}
	log_debug("pid %d (%s): signal %d from pid %d kept for later", t->pid, t->comm, signo,
		  info.si_pid);
	return 0;
}

/* Runs up to the next syscall stop, past signals that come in between. */
static int run_to_syscall_stop(struct target_thread *th, struct err *err)
{
	struct stop stop;
	int signo = 0;

	do {
		TRY(thread_resume(th, RESUME_SYSCALL, signo, err));
		TRY(thread_wait(th, &stop, err));
		signo = stop_passes(&stop);
		if (stop.kind == STOP_SIGNAL)
			TRY(signal_hold(th, stop.signo, err));
	} while (stop.kind != STOP_SYSCALL);
	return 0;
}

static bool is_restart_code(int64_t ret)
{
	return ret == -ERESTARTSYS || ret == -ERESTARTNOINTR || ret == -ERESTARTNOHAND ||
	       ret == -ERESTART_RESTARTBLOCK;
}

/*
 * The thread stands before the `syscall` with the number of rt_sigreturn, which any seccomp filter
 * allows that lets a program have handlers, and strict mode too. Only in the syscall-entry-stop it
 * becomes the wanted call. Should we die between that and the call itself (about a microsecond), a
 * filter would judge a call that isn't the program's: the kernel runs it after the ptrace stop.
 */
int single_call(struct target_thread *th, const struct call_site *site, long nr,
		const uint64_t args[6], int64_t *ret, struct err *err)
{
	struct user_regs_struct regs;
	int64_t r;

	if (th->saved)
		regs = th->saved->gp;
	else
		TRY(arch_gp_get(th->tid, &regs, err));
	do {
		if (site->frame.va)
			frame_enter_regs(&regs, site->ip, site->frame);
		else
			regs.rip = site->ip, regs.orig_rax = (uint64_t)-1, regs.rax = (uint64_t)nr;
		TRY(arch_gp_set(th->tid, &regs, err));
		TRY(thread_set_mask(th, ~(uint64_t)0, err));
		TRY(run_to_syscall_stop(th, err));
		regs.rip = site->ip + 2;
		regs.rsp = site->sp;
		regs.orig_rax = (uint64_t)nr;
		regs.rax = (uint64_t)-ENOSYS;
		regs.rdi = args[0];
		regs.rsi = args[1];
		regs.rdx = args[2];
		regs.r10 = args[3];
		regs.r8 = args[4];
		regs.r9 = args[5];
		TRY(arch_gp_set(th->tid, &regs, err));
		TRY(run_to_syscall_stop(th, err));
		TRY(arch_gp_get(th->tid, &regs, err));
		r = (int64_t)regs.rax;
	} while (is_restart_code(r));
	*ret = r;
	return 0;
}

int agent_install(const struct target *t, raddr_t base, struct err *err)
{
	return target_poke(t, base, agent_start, (size_t)(agent_end - agent_start), err);
}

static int slot_pick(struct target *t, struct err *err)
{
	struct scratch *s = t->scratch;
	int i;

	for (i = 0; i < SCRATCH_SLOTS; i++)
		if (!s->slot[i])
			return i;
	for (i = 0; i < SCRATCH_SLOTS - 1; i++)
		if (s->slot[i] != s->keeper)
			break;
	TRY(agent_park(s->slot[i], err));
	return i;
}

/* How many threads are in the agent; too many is harmless, too few isn't. */
static uint64_t users_count(const struct scratch *s)
{
	uint64_t users = 0;

	for (int i = 0; i < SCRATCH_SLOTS; i++)
		users += s->slot[i] != NULL;
	return users;
}

static raddr_t users_at(const struct scratch *s)
{
	return scratch_at(s, SCRATCH_SHARED + EXIT_OFFSET + EXIT_USERS);
}

/* The frame, the head of an idle agent, and one more user. */
static int slot_write(struct target_thread *th, int slot, struct err *err)
{
	const struct target *t = th->target;
	struct scratch *s = t->scratch;
	raddr_t at = scratch_at(s, SCRATCH_SLOT(slot) + SCRATCH_FRAME);
	uint8_t frame[SCRATCH_FRAME_SIZE];
	struct agent_head head = {0};
	uint64_t users = users_count(s) + 1;
	struct iovec local[3] = {{frame, 0}, {&head, sizeof(head)}, {&users, sizeof(users)}};
	struct iovec remote[3] = {{(void *)at.va, 0},
				  {(void *)scratch_at(s, SCRATCH_SLOT(slot)).va, sizeof(head)},
				  {(void *)users_at(s).va, sizeof(users)}};
	size_t len;
	ssize_t n;

	TRY(frame_build(th->saved, th->sigmask, at, 0, frame, sizeof(frame), &len, err));
	local[0].iov_len = remote[0].iov_len = len;
	n = sys_vm_writev(t->pid, local, 3, remote, 3);
	if (n == -ESRCH)
		return err_gone(err, "pid %d (%s): died (write a frame)", t->pid, t->comm);
	if (n != (ssize_t)(len + sizeof(head) + sizeof(users)))
		return err_sys(err, n < 0 ? (int)n : -EFAULT, "pid %d (%s): write a frame", t->pid,
			       t->comm);
	return 0;
}

int agent_take(struct target_thread *th, struct err *err)
{
	struct scratch *s = th->target->scratch;
	struct user_regs_struct regs;
	uint64_t mask = ~(uint64_t)0;
	raddr_t head;
	int slot = 0;

	if (th->in_agent)
		return 0;
	if (s->half_made) {
		TRY(arch_gp_get(th->tid, &regs, err));
	} else {
		slot = slot_pick(th->target, err);
		TRY(slot);
		TRY(slot_write(th, slot, err));
		regs = th->saved->gp;
	}
	head = scratch_at(s, SCRATCH_SLOT(slot));
	frame_enter_regs(&regs, scratch_entry(s), raddr(head.va + SCRATCH_FRAME));
	regs.rbp = head.va;
	TRY(arch_gp_set(th->tid, &regs, err));
	if (s->signo)
		mask &= ~(1ULL << (s->signo - 1));
	if (!s->half_made)
		s->slot[slot] = th;
	th->slot = slot;
	th->in_agent = true;
	return thread_set_mask(th, mask, err);
}

int agent_park(struct target_thread *th, struct err *err)
{
	struct scratch *s = th->target->scratch;
	uint64_t users;

	if (!th->in_agent || s->half_made)
		return 0;
	TRY(thread_set_mask(th, th->sigmask, err));
	TRY(arch_gp_set(th->tid, &th->saved->gp, err));
	th->in_agent = false;
	s->slot[th->slot] = NULL;
	users = users_count(s);
	return target_write(th->target, users_at(s), &users, sizeof(users), err);
}

/* A call is written before the count that makes it valid. */
static int cleanup_write(struct target *t, size_t i, struct err *err)
{
	struct scratch *s = t->scratch;
	raddr_t list = scratch_at(s, SCRATCH_SHARED);
	uint64_t count = s->ncleanup;

	TRY(target_write(t, raddr(list.va + CLEANUP_CALLS + i * CALL_SIZE), &s->cleanup[i],
			 CALL_SIZE, err));
	return target_write(t, list, &count, sizeof(count), err);
}

int cleanup_add(struct target *t, const struct agent_call *call, struct err *err)
{
	struct scratch *s = t->scratch;

	if (s->ncleanup == CLEANUP_MAX)
		return err_bug(err, "pid %d (%s): more than %d lent descriptors", t->pid, t->comm,
			       CLEANUP_MAX);
	s->cleanup[s->ncleanup++] = *call;
	return cleanup_write(t, s->ncleanup - 1, err);
}

int cleanup_remove(struct target *t, const struct agent_call *call, struct err *err)
{
	struct scratch *s = t->scratch;

	for (size_t i = s->ncleanup; i-- > 0;) {
		if (memcmp(&s->cleanup[i], call, sizeof(*call)) != 0)
			continue;
		/* The last one takes its place; for a moment it is there twice, which is harmless.
		 */
		s->cleanup[i] = s->cleanup[--s->ncleanup];
		return cleanup_write(t, i, err);
	}
	return 0;
}
