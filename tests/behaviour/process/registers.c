/* SPDX-License-Identifier: Apache-2.0 */
/*
 * General registers and flags of threads that compute, without any system call: all of them hold
 * a pattern while a loop waits for a word in memory to change. It tests the word with jrcxz,
 * which leaves the flags alone.
 */
#include "behave.h"

#include <unistd.h>

enum { REGS = 13 }; /* rax rbx rdx rsi rdi rbp r8-r13 and flags; r14, r15: pointers; rcx: test */
enum { CF = 0x1, PF = 0x4, AF = 0x10, ZF = 0x40, SF = 0x80, DF = 0x400, OF = 0x800 };
enum { STATUS = CF | PF | AF | ZF | SF | DF | OF };

struct loop {
	uint64_t in[REGS], out[REGS], keep; /* r14 points to this */
	uint64_t keep2;
};

static volatile uint64_t go_on;

/* void spin(struct loop *, volatile uint64_t *) */
void spin(struct loop *loop, volatile uint64_t *flag);
__asm__(".pushsection .text\n"
	".globl spin\n"
	".type spin, @function\n"
	"spin:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"mov %rdi, %r14; mov %rsi, %r15\n"
	"push 96(%r14); popfq\n" /* mov leaves flags alone */
	"mov 0(%r14), %rax; mov 8(%r14), %rbx; mov 16(%r14), %rdx; mov 24(%r14), %rsi\n"
	"mov 32(%r14), %rdi; mov 40(%r14), %rbp; mov 48(%r14), %r8; mov 56(%r14), %r9\n"
	"mov 64(%r14), %r10; mov 72(%r14), %r11; mov 80(%r14), %r12; mov 88(%r14), %r13\n"
	"1: mov (%r15), %rcx\n"
	"jrcxz 1b\n"
	"mov %rax, 104(%r14); mov %rbx, 112(%r14); mov %rdx, 120(%r14); mov %rsi, 128(%r14)\n"
	"mov %rdi, 136(%r14); mov %rbp, 144(%r14); mov %r8, 152(%r14); mov %r9, 160(%r14)\n"
	"mov %r10, 168(%r14); mov %r11, 176(%r14); mov %r12, 184(%r14); mov %r13, 192(%r14)\n"
	"pushfq; pop 200(%r14)\n"
	"cld\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"ret\n"
	".size spin, . - spin\n"
	".popsection\n");

static void *thread(void *arg)
{
	const uint64_t seed = (uint64_t)(intptr_t)arg;
	struct loop loop = {.keep = 0x1122334455667788};

	for (int i = 0; i < REGS - 1; i++)
		loop.in[i] = (seed + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
	loop.in[REGS - 1] = 0x202 | (seed % 2 ? STATUS : ZF | CF);
	spin(&loop, &go_on);
	for (int i = 0; i < REGS - 1; i++)
		CHECK(loop.out[i] == loop.in[i], "register %d is %#lx, not %#lx", i, loop.out[i],
		      loop.in[i]);
	CHECK_EQ(loop.out[REGS - 1] & STATUS, loop.in[REGS - 1] & STATUS);
	return NULL;
}

BEHAVE("general registers and flags of threads that compute")
{
	pthread_t threads[2];

	for (intptr_t i = 0; i < 2; i++)
		threads[i] = behave_thread(thread, (void *)i);
	behave_nap(20);
	FREEZE();
	go_on = 1;
	for (int i = 0; i < 2; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
