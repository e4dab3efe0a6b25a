/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's own code, run in a child without any tracer: what a target does whose tracer has
 * died. It runs its batch and the cleanup list, gives the thread its registers, mask and vector
 * registers back, and unmaps itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "remote/arch/x86_64/agent.h"
#include "remote/arch/x86_64/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Registers as they were at the landing, stored by the assembly below. */
uint64_t seen_regs[16];
uint8_t seen_xmm[2][16];
uint64_t landing_stack[1024];

void test_landing(void);
void test_go(void *code, void *head, uint64_t sp) __attribute__((noreturn));
extern const uint8_t test_syscall_ret[], test_sigreturn[];

__asm__(".text\n"
	"test_go: mov %rsi, %rbp; mov %rdx, %rsp; jmp *%rdi\n"
	"test_syscall_ret: syscall; ret\n"
	"test_sigreturn: mov $15, %eax; syscall\n"
	"test_landing:\n"
	"	mov %rax, seen_regs+0(%rip); mov %rbx, seen_regs+8(%rip)\n"
	"	mov %rcx, seen_regs+16(%rip); mov %rdx, seen_regs+24(%rip)\n"
	"	mov %rsi, seen_regs+32(%rip); mov %rdi, seen_regs+40(%rip)\n"
	"	mov %rbp, seen_regs+48(%rip); mov %rsp, seen_regs+56(%rip)\n"
	"	mov %r8, seen_regs+64(%rip); mov %r9, seen_regs+72(%rip)\n"
	"	mov %r10, seen_regs+80(%rip); mov %r11, seen_regs+88(%rip)\n"
	"	mov %r12, seen_regs+96(%rip); mov %r13, seen_regs+104(%rip)\n"
	"	mov %r14, seen_regs+112(%rip); mov %r15, seen_regs+120(%rip)\n"
	"	movdqu %xmm3, seen_xmm(%rip); movdqu %xmm15, seen_xmm+16(%rip)\n"
	"	call test_landed\n");

/* Everything that the parent looks at, in shared memory. */
struct result {
	bool landed, code_is_gone, mask_is_right, regs_are_right, xmm_is_right;
	int64_t rets[6];
	int fd_after_cleanup, number_after_cleanup;
};

static struct result *result;
static uint8_t *area;
static int cleanup_fd, *cleanup_number;

static uint64_t pattern(int i)
{
	return 0x1111111111111111 * (uint64_t)(i + 1);
}

void test_landed(void);
void test_landed(void)
{
	const struct agent_call *calls = (void *)(area + SCRATCH_CALLS);
	unsigned char vec;
	uint64_t mask = 0;

	result->landed = true;
	result->code_is_gone = mincore(area, 4096, &vec) < 0 && errno == ENOMEM;
	for (int i = 0; i < 6 && !result->code_is_gone; i++)
		result->rets[i] = calls[i].ret;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	result->mask_is_right = mask == 1ULL << (SIGUSR2 - 1);
	result->regs_are_right = true;
	for (int i = 0; i < 16; i++)
		if (i != 7 && seen_regs[i] != pattern(i))
			result->regs_are_right = false;
	result->xmm_is_right = seen_xmm[0][0] == 0xa3 && seen_xmm[0][15] == 0xa3 &&
			       seen_xmm[1][0] == 0xaf && seen_xmm[1][15] == 0xaf;
	result->fd_after_cleanup = fcntl(cleanup_fd, F_GETFD);
	result->number_after_cleanup = *cleanup_number;
	_exit(0);
}

/* An XSAVE image as ptrace gives it: XCR0 where a signal frame has its magic. */
static struct arch_state *make_state(void)
{
	static uint8_t buf[16384] __attribute__((aligned(64)));
	uint32_t lo, hi, size, b, c, d;
	struct arch_state *s;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	__asm__ volatile("cpuid" : "=a"(b), "=b"(size), "=c"(c), "=d"(d) : "a"(0xd), "c"(0));
	__asm__ volatile("xsave64 (%0)" : : "r"(buf), "a"(lo & 0xe7), "d"(0) : "memory");
	s = arch_state_new(size);
	memcpy(s->xsave, buf, size);
	memset(s->xsave + 160 + 3 * 16, 0xa3, 16);
	memset(s->xsave + 160 + 15 * 16, 0xaf, 16);
	s->xsave[512] |= 3; /* x87 and SSE are in use */
	((uint32_t *)s->xsave)[6] = 0x1f80;
	memcpy(s->xsave + 464, &(uint64_t){(uint64_t)hi << 32 | lo}, 8);
	s->gp = (struct user_regs_struct){
		.rax = pattern(0),
		.rbx = pattern(1),
		.rcx = pattern(2),
		.rdx = pattern(3),
		.rsi = pattern(4),
		.rdi = pattern(5),
		.rbp = pattern(6),
		.r8 = pattern(8),
		.r9 = pattern(9),
		.r10 = pattern(10),
		.r11 = pattern(11),
		.r12 = pattern(12),
		.r13 = pattern(13),
		.r14 = pattern(14),
		.r15 = pattern(15),
		.rip = (uint64_t)(uintptr_t)test_landing,
		.rsp = (uint64_t)(uintptr_t)&landing_stack[1000],
		.eflags = 0x202,
		.cs = 0x33,
		.ss = 0x2b,
		.orig_rax = (uint64_t)-1,
	};
	return s;
}

static void add_call(size_t i, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t flags)
{
	struct agent_call *calls = (void *)(area + SCRATCH_CALLS);

	calls[i] = (struct agent_call){
		.nr = (uint64_t)nr, .args = {a, b, c}, .ret = -ECANCELED, .flags = flags};
}

static void fill_batch(struct agent_head *head)
{
	uint64_t calls = (uint64_t)(uintptr_t)(area + SCRATCH_CALLS);
	uint32_t *word = (uint32_t *)(area + SCRATCH_DATA);

	word[0] = 1000; /* no such descriptor */
	add_call(0, SYS_getpid, 0, 0, 0, 0);
	add_call(1, SYS_dup, (uint64_t)cleanup_fd, 0, 0, 0);
	add_call(2, SYS_close, calls + 1 * CALL_SIZE + CALL_RET, 0, 0, 1ULL << CALL_LOAD64_SHIFT);
	add_call(3, SYS_close, (uint64_t)(uintptr_t)word, 0, 0, 1ULL << CALL_LOAD32_SHIFT);
	add_call(4, SYS_close, 1001, 0, 0, 1ULL << CALL_MUST_BIT);
	add_call(5, SYS_getpid, 0, 0, 0, 0);
	*head = (struct agent_head){.ncalls = 6,
				    .calls = calls,
				    .tgid = (uint64_t)getpid(),
				    .tid = (uint64_t)getpid(),
				    .signo = SIGURG,
				    .seq = 1};
}

static void fill_shared(const struct arch_state *s, void *spot)
{
	struct agent_cleanup *cleanup = (void *)(area + SCRATCH_SHARED);
	struct agent_exit *e = (void *)(area + SCRATCH_SHARED + EXIT_OFFSET);

	*cleanup_number = cleanup_fd;
	cleanup->count = 1;
	cleanup->calls[0] =
		(struct agent_call){.nr = SYS_close,
				    .args = {(uint64_t)(uintptr_t)cleanup_number},
				    .flags = 1ULL << CALL_LOAD32_SHIFT | 1ULL << CALL_TAKE_BIT};
	*e = (struct agent_exit){
		.users = 1,
		.spot = (uint64_t)(uintptr_t)spot,
		.frame_len = frame_size(s),
		.fpstate = FRAME_FPSTATE_POINTER,
		.fpstate_off = frame_fpstate_offset(),
		.sigreturn = (uint64_t)(uintptr_t)test_sigreturn,
		.syscall_ret = (uint64_t)(uintptr_t)test_syscall_ret,
		.base = (uint64_t)(uintptr_t)area,
		.len = SCRATCH_LEN,
	};
}

static void child_main(bool with_spot, bool with_batch)
{
	struct arch_state *s = make_state();
	struct agent_head *head;
	raddr_t at;
	struct err err = ERR_INIT;
	void *spot = mmap(NULL, 0x8000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t len;

	area = mmap(NULL, SCRATCH_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(area, agent_start, (size_t)(agent_end - agent_start));
	mprotect(area, 4096, PROT_READ | PROT_EXEC);
	cleanup_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cleanup_number =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	head = (void *)(area + SCRATCH_SLOT(0));
	if (with_batch)
		fill_batch(head);
	fill_shared(s, with_spot ? spot : NULL);
	at = raddr((uint64_t)(uintptr_t)head + SCRATCH_FRAME);
	if (frame_build(s, 1ULL << (SIGUSR2 - 1), at, 0, (void *)at.va, SCRATCH_FRAME_SIZE, &len,
			&err) < 0)
		_exit(4);
	test_go(area, head, at.va + 8);
}

static struct result run(bool with_spot, bool with_batch)
{
	struct result *r =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct result copy;
	int status;
	pid_t pid;

	result = r;
	pid = fork();
	if (pid == 0)
		child_main(with_spot, with_batch);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	copy = *r;
	munmap(r, 4096);
	return copy;
}

static void check_state(const struct result *r)
{
	assert_true(r->landed);
	assert_true(r->regs_are_right);
	assert_true(r->xmm_is_right);
	assert_true(r->mask_is_right);
}

static void batch_is_finished_and_state_restored(void **state)
{
	struct result r = run(/* with_spot= */ false, /* with_batch= */ true);

	check_state(&r);
	assert_false(r.code_is_gone);
	assert_true(r.rets[0] > 0);
	assert_true(r.rets[1] > 0);
	assert_int_equal(r.rets[2], 0);		 /* the result of another call was closed */
	assert_int_equal(r.rets[3], -EBADF);	 /* a number from memory */
	assert_int_equal(r.rets[4], -EBADF);	 /* fails, and must not */
	assert_int_equal(r.rets[5], -ECANCELED); /* so this one isn't made */
}

static void cleanup_list_closes_once(void **state)
{
	struct result r = run(false, false);

	check_state(&r);
	assert_int_equal(r.fd_after_cleanup, -1);
	assert_int_equal(r.number_after_cleanup, -1);
}

static void last_thread_unmaps_the_area(void **state)
{
	struct result r = run(/* with_spot= */ true, /* with_batch= */ true);

	check_state(&r);
	assert_true(r.code_is_gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_is_finished_and_state_restored),
		cmocka_unit_test(cleanup_list_closes_once),
		cmocka_unit_test(last_thread_unmaps_the_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
