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

#define XSAVE_MAX   (16 * 1024) /* AMX needs 11 KiB */
#define CODE_BEFORE 16		/* bytes before a `syscall` that may load its number */

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

static bool is_timespec_at(const struct target *t, uint64_t va)
{
	int64_t ts[2];
	struct err err = ERR_INIT;

	return va > 65536 && target_read(t, raddr(va), ts, sizeof(ts), &err) == 0 && ts[0] >= 0 &&
	       ts[1] >= 0 && ts[1] < 1000000000;
}

static bool is_value_at(const struct target *t, uint64_t va, uint32_t value)
{
	uint32_t word;
	struct err err = ERR_INIT;

	return target_read(t, raddr(va), &word, sizeof(word), &err) == 0 && word == value;
}

/* From the shape of the arguments, and from what they point to. */
static long nr_from_args(const struct target *t, const struct user_regs_struct *r)
{
	uint64_t op = r->rsi & ~(uint64_t)0x180; /* FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME */

	if (r->rdi && r->rdi < 4096)
		return SYS_clock_nanosleep;
	if (r->rsi > 65536) /* neither an operation nor a count of files */
		return r->rdi ? SYS_nanosleep : SYS_clock_nanosleep;
	if ((op == 0 || op == 9) && r->rdi && is_timespec_at(t, r->r10) &&
	    is_value_at(t, r->rdi, (uint32_t)r->rdx))
		return SYS_futex;
	if (r->rsi <= 1 && !r->rdi && is_timespec_at(t, r->rdx))
		return SYS_clock_nanosleep;
	return r->rsi == 0 && is_timespec_at(t, r->rdi) ? SYS_nanosleep : SYS_poll;
}

/*
 * On its way back to user space the kernel has already made the registers ready to call
 * restart_syscall(), but it hasn't been called yet: one step back.
 */
static void undo_restart(const struct target *t, struct user_regs_struct *regs)
{
	uint8_t insn[2];
	struct err err = ERR_INIT;

	if (regs->rax != SYS_restart_syscall ||
	    target_read(t, raddr(regs->rip), insn, sizeof(insn), &err) < 0 || insn[0] != 0x0f ||
	    insn[1] != 0x05)
		return;
	regs->rip += sizeof(insn);
	regs->rax = (uint64_t)-ERESTART_RESTARTBLOCK;
	if (!arch_in_syscall(regs))
		regs->orig_rax = SYS_restart_syscall;
}

void arch_regs_name_restarted(const struct target *t, struct user_regs_struct *regs)
{
	uint8_t code[CODE_BEFORE] = {0};
	struct err err = ERR_INIT;
	long nr = -1;

	undo_restart(t, regs);
	if (!arch_in_syscall(regs) || regs->orig_rax != SYS_restart_syscall ||
	    (int64_t)regs->rax != -ERESTART_RESTARTBLOCK)
		return;
	if (target_read(t, raddr(regs->rip - 2 - CODE_BEFORE), code, sizeof(code), &err) == 0)
		nr = nr_from_code(code, sizeof(code));
	regs->orig_rax = (uint64_t)(nr >= 0 ? nr : nr_from_args(t, regs));
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
