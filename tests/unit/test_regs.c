/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of interrupted system calls, and signal frames made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/uapi/ptrace.h"
#include "remote/arch/x86_64/frame.h"
#include "remote/arch/x86_64/state.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct user_regs_struct in_call(long nr, int64_t ax)
{
	return (struct user_regs_struct){.rip = 0x401002,
					 .rax = (uint64_t)ax,
					 .orig_rax = (uint64_t)nr,
					 .rdi = 11,
					 .rsi = 22,
					 .rdx = 33,
					 .r10 = 44};
}

static void interrupted_calls_start_again(void **state)
{
	static const int codes[] = {ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND};

	for (size_t i = 0; i < 3; i++) {
		struct user_regs_struct r = in_call(SYS_read, -codes[i]);

		arch_regs_rewind(&r);
		assert_int_equal(r.rip, 0x401000);
		assert_int_equal(r.rax, SYS_read);
		assert_int_equal(r.rdi, 11);
	}
}

static void finished_calls_stay(void **state)
{
	struct user_regs_struct r = in_call(SYS_read, -EINTR);

	arch_regs_rewind(&r);
	assert_int_equal(r.rip, 0x401002);
	assert_int_equal((int64_t)r.rax, -EINTR);
	/* The same number in rax, but not inside a call: a program's own business. */
	r = in_call(-1, -ERESTARTSYS);
	arch_regs_rewind(&r);
	assert_int_equal(r.rip, 0x401002);
}

static void sleeps_go_on_with_the_rest(void **state)
{
	struct user_regs_struct r = in_call(SYS_nanosleep, -ERESTART_RESTARTBLOCK);

	arch_regs_rewind(&r);
	assert_int_equal(r.rdi, 22); /* request := rest */
	assert_int_equal(r.rax, SYS_nanosleep);
	r = in_call(SYS_nanosleep, -ERESTART_RESTARTBLOCK);
	r.rsi = 0;
	arch_regs_rewind(&r);
	assert_int_equal(r.rdi, 11);

	r = in_call(SYS_clock_nanosleep, -ERESTART_RESTARTBLOCK);
	r.rsi = 0;
	arch_regs_rewind(&r);
	assert_int_equal(r.rdx, 44);
	r = in_call(SYS_clock_nanosleep, -ERESTART_RESTARTBLOCK);
	r.rsi = 1; /* TIMER_ABSTIME */
	arch_regs_rewind(&r);
	assert_int_equal(r.rdx, 33);

	r = in_call(SYS_poll, -ERESTART_RESTARTBLOCK);
	arch_regs_rewind(&r);
	assert_int_equal(r.rdi, 11);
	assert_int_equal(r.rax, SYS_poll);
}

static void eintr_of_epoll_wait_is_hidden(void **state)
{
	struct user_regs_struct r = in_call(SYS_epoll_wait, -EINTR);

	assert_true(arch_regs_hide_eintr(&r));
	assert_int_equal((int64_t)r.rax, -ERESTARTNOHAND);
	r = in_call(SYS_close, -EINTR); /* a descriptor may be gone: no second try */
	assert_false(arch_regs_hide_eintr(&r));
	r = in_call(SYS_epoll_wait, 3);
	assert_false(arch_regs_hide_eintr(&r));
}

static long named(struct user_regs_struct r)
{
	struct target self = {.pid = getpid()};

	arch_regs_name_restarted(&self, &r);
	return (long)r.orig_rax;
}

static struct user_regs_struct restarted(const uint8_t *code, size_t len)
{
	struct user_regs_struct r = in_call(SYS_restart_syscall, -ERESTART_RESTARTBLOCK);

	r.rip = (uint64_t)(uintptr_t)code + len;
	return r;
}

static void restart_syscall_is_named(void **state)
{
	static const uint8_t poll_code[32] = {[25] = 0xb8, 7, 0, 0, 0, 0x0f, 0x05};
	static const uint8_t other_code[32] = {[30] = 0x0f, 0x05};
	struct timespec ts = {1, 2}, bad = {-1, -1};
	uint32_t word = 77;
	struct user_regs_struct r = restarted(poll_code, sizeof(poll_code));

	assert_int_equal(named(r), SYS_poll);
	r = restarted(other_code, sizeof(other_code));
	r.rdi = 1; /* CLOCK_MONOTONIC */
	assert_int_equal(named(r), SYS_clock_nanosleep);
	r.rdi = (uint64_t)(uintptr_t)&word;
	r.rsi = 128; /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */
	r.rdx = 77;
	r.r10 = (uint64_t)(uintptr_t)&ts;
	assert_int_equal(named(r), SYS_futex);
	r.rdi = (uint64_t)(uintptr_t)&ts;
	r.rsi = 0;
	r.r10 = 0;
	assert_int_equal(named(r), SYS_nanosleep);
	r.rdi = (uint64_t)(uintptr_t)&bad;
	r.rsi = 2;
	assert_int_equal(named(r), SYS_poll);
}

static void restart_about_to_be_made_is_undone(void **state)
{
	static const uint8_t code[32] = {[25] = 0xb8, 230, 0, 0, 0, 0x0f, 0x05};
	struct target self = {.pid = getpid()};
	struct user_regs_struct r = in_call(SYS_clock_nanosleep, SYS_restart_syscall);

	r.rip = (uint64_t)(uintptr_t)code + 30;
	arch_regs_name_restarted(&self, &r);
	assert_int_equal(r.rip, (uint64_t)(uintptr_t)code + 32);
	assert_int_equal((int64_t)r.rax, -ERESTART_RESTARTBLOCK);
	assert_int_equal(r.orig_rax, SYS_clock_nanosleep);
	r.orig_rax = (uint64_t)-1; /* an interrupt came before the instruction */
	r.rip -= 2;
	r.rax = SYS_restart_syscall;
	arch_regs_name_restarted(&self, &r);
	assert_int_equal(r.orig_rax, SYS_clock_nanosleep);
}

static void frame_is_recognised_and_wiped(void **state)
{
	static uint8_t buf[16384] __attribute__((aligned(4096)));
	struct arch_state *s = arch_state_new(512);
	struct err err = ERR_INIT;
	size_t len = 0;

	assert_int_equal(frame_build(s, 5, raddr(0x7000), 0xabc, buf, sizeof(buf), &len, &err), 0);
	assert_true(len <= frame_size(s));
	assert_int_equal(((uint64_t *)buf)[0], 0xabc);
	assert_int_equal(*(uint64_t *)(buf + FRAME_FPSTATE_POINTER),
			 0x7000 + frame_fpstate_offset());
	assert_true(frame_is_ours(buf));
	frame_wipe(buf, sizeof(buf));
	assert_true(frame_is_ours(buf));
	assert_int_equal(((uint64_t *)buf)[0], 0);
	memset(buf, 0, 4096);
	assert_false(frame_is_ours(buf));
	arch_state_free(s);
}

static void frame_needs_room(void **state)
{
	uint8_t buf[256];
	struct arch_state *s = arch_state_new(512);
	struct err err = ERR_INIT;
	size_t len;

	assert_true(frame_build(s, 0, raddr(0x7000), 0, buf, sizeof(buf), &len, &err) < 0);
	assert_int_equal(err.kind, ERR_BUG);
	arch_state_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupted_calls_start_again),
		cmocka_unit_test(finished_calls_stay),
		cmocka_unit_test(sleeps_go_on_with_the_rest),
		cmocka_unit_test(eintr_of_epoll_wait_is_hidden),
		cmocka_unit_test(restart_syscall_is_named),
		cmocka_unit_test(restart_about_to_be_made_is_undone),
		cmocka_unit_test(frame_is_recognised_and_wiped),
		cmocka_unit_test(frame_needs_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
