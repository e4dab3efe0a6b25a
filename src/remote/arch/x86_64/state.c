/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of a stopped x86-64 thread: NT_PRSTATUS (struct user_regs_struct) and NT_X86_XSTATE
 * (the XSAVE image in standard format; a CPU without XSAVE has the 512 bytes of NT_PRFPREG).
 *
 * A thread caught in a system call shows orig_rax >= 0 and a code -ERESTART* in rax that user space
 * never sees. As long as both stay, the kernel itself restarts the call when the thread is let go;
 * in an image the kernel's part of it is lost, and arch_regs_rewind() makes registers that start
 * the call again:
 *
 *	ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND
 *			the same call. select() and ppoll() have had the rest of their timeout
 *			written back by the kernel, so they go on with that.
 *	ERESTART_RESTARTBLOCK
 *	  nanosleep, clock_nanosleep (relative) with a `rem` pointer
 *			the rest: the kernel has written it there, and it becomes the request
 *	  the same without `rem`, poll, futex with a timeout
 *			their full timeout once more. -EINTR instead would be seen by programs that
 *			have no handler and never expect it.
 */
#include "remote/arch/x86_64/state.h"

#include "base/arena.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define XSAVE_MAX (16 * 1024) /* AMX needs 11 KiB */

struct arch_state *arch_state_new(size_t xsave_len)
{
	struct arch_state *s = xcalloc(1, sizeof(*s));

	s->xsave_len = xsave_len;
	s->xsave = xsave_len ? xcalloc(1, xsave_len) : NULL;
	return s;
}

void arch_state_free(struct arch_state *s)
{
	if (!s)
		return;
	free(s->xsave);
	free(s);
}

static long get_regset(pid_t tid, int type, void *buf, size_t *len)
{
	struct iovec iov = {buf, *len};
	long r = sys_ptrace(PTRACE_GETREGSET, tid, (uint64_t)type, (uint64_t)(uintptr_t)&iov);

	*len = iov.iov_len;
	return r;
}

static long set_regset(pid_t tid, int type, const void *buf, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	return sys_ptrace(PTRACE_SETREGSET, tid, (uint64_t)type, (uint64_t)(uintptr_t)&iov);
}

static int regset_failed(struct err *err, long r, pid_t tid, const char *what)
{
	if (r == -ESRCH)
		return err_gone(err, "thread %d died (%s)", tid, what);
	return err_sys(err, (int)r, "%s of thread %d", what, tid);
}

int arch_gp_get(pid_t tid, struct user_regs_struct *ret, struct err *err)
{
	size_t len = sizeof(*ret);
	long r = get_regset(tid, NT_PRSTATUS, ret, &len);

	if (r < 0)
		return regset_failed(err, r, tid, "read registers");
	/* A task in 32-bit mode gives the 32-bit layout, which is shorter. */
	if (len != sizeof(*ret))
		return err_refuse(err, "build the program for 64 bit",
				  "thread %d: runs 32-bit code", tid);
	return 0;
}

int arch_gp_set(pid_t tid, const struct user_regs_struct *regs, struct err *err)
{
	long r = set_regset(tid, NT_PRSTATUS, regs, sizeof(*regs));

	return r < 0 ? regset_failed(err, r, tid, "write registers") : 0;
}

int arch_state_get(pid_t tid, struct arch_state **ret, struct err *err)
{
	_Alignas(64) uint8_t buf[XSAVE_MAX];
	size_t len = sizeof(buf);
	struct user_regs_struct gp;
	struct arch_state *s;
	long r;

	TRY(arch_gp_get(tid, &gp, err));
	r = get_regset(tid, NT_X86_XSTATE, buf, &len);
	if (r == -ENODEV || r == -EINVAL) {
		len = 512;
		r = get_regset(tid, NT_PRFPREG, buf, &len);
	}
	if (r < 0)
		return regset_failed(err, r, tid, "read FPU state");
	s = arch_state_new(len);
	s->gp = gp;
	memcpy(s->xsave, buf, len);
	*ret = s;
	return 0;
}

int arch_state_set(pid_t tid, const struct arch_state *s, struct err *err)
{
	int type = s->xsave_len > 512 ? NT_X86_XSTATE : NT_PRFPREG;
	long r = s->xsave_len ? set_regset(tid, type, s->xsave, s->xsave_len) : 0;

	if (r < 0)
		return regset_failed(err, r, tid, "write FPU state");
	return arch_gp_set(tid, &s->gp, err);
}

bool arch_in_syscall(const struct user_regs_struct *regs)
{
	return (int64_t)regs->orig_rax >= 0;
}

/* Calls that fail with EINTR without having done anything, even where no handler runs. */
static bool is_eintr_call(uint64_t nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	/* sockets with SO_RCVTIMEO or SO_SNDTIMEO */
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
		return true;
	default:
		return false;
	}
}

bool arch_regs_hide_eintr(struct user_regs_struct *regs)
{
	if (!arch_in_syscall(regs) || (int64_t)regs->rax != -EINTR ||
	    !is_eintr_call(regs->orig_rax))
		return false;
	/* With a handler it becomes EINTR again, without one the call is restarted. */
	regs->rax = (uint64_t)-ERESTARTNOHAND;
	return true;
}

/* `mov $nr,%eax` in the code before the call instruction; -1 if there is none. */
static long nr_from_code(const uint8_t *code, size_t len)
{
	for (size_t i = len; i-- > 4;) {
		const uint8_t *p = code + i - 4;
		uint32_t nr;

		memcpy(&nr, p + 1, 4);
		if (p[0] == 0xb8 && (nr == SYS_poll || nr == SYS_nanosleep || nr == SYS_futex ||
				     nr == SYS_clock_nanosleep))
			return (long)nr;
	}
	return -1;
}

/* From the shape of the arguments: pointers are large, clock ids and operations small. */
static long nr_from_args(const struct user_regs_struct *r)
{
	if ((int32_t)r->rdi < 4096 && r->rdi == (uint64_t)(int64_t)(int32_t)r->rdi)
		return SYS_clock_nanosleep;
	if (r->rsi == 0 || r->rsi > 65536)
		return SYS_nanosleep;
	return r->r10 > 65536 && ((r->rsi & 0x7f) == 0 || (r->rsi & 0x7f) == 9) ? SYS_futex
										: SYS_poll;
}

bool arch_regs_name_restarted(struct user_regs_struct *regs, const uint8_t *code, size_t len)
{
	long nr;

	if (!arch_in_syscall(regs) || regs->orig_rax != SYS_restart_syscall ||
	    (int64_t)regs->rax != -ERESTART_RESTARTBLOCK)
		return false;
	nr = nr_from_code(code, len);
	regs->orig_rax = (uint64_t)(nr >= 0 ? nr : nr_from_args(regs));
	return true;
}

void arch_regs_rewind(struct user_regs_struct *regs)
{
	if (!arch_in_syscall(regs))
		return;
	switch (-(int64_t)regs->rax) {
	case ERESTART_RESTARTBLOCK:
		if (regs->orig_rax == SYS_nanosleep && regs->rsi)
			regs->rdi = regs->rsi;
		if (regs->orig_rax == SYS_clock_nanosleep && !(regs->rsi & 1) && regs->r10)
			regs->rdx = regs->r10;
		__attribute__((fallthrough));
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		regs->rip -= 2;
		regs->rax = regs->orig_rax;
		break;
	default:
		break;
	}
}
