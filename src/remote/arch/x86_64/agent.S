/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent. Copied into targets as it is: position independent, no stack, no memory but what
 * agent.h describes.
 *
 * With a tracer, the tgkill() at the end of a batch is a signal-delivery-stop: the tracer reads
 * the results, suppresses the signal, and lets the thread run again only when there is a new
 * batch (seq != done). Without one, the signal is ignored (that is how it was chosen), the loop
 * finds nothing to do, runs the cleanup list and returns to the thread's own state with
 * rt_sigreturn. If the signal does have a handler after all, it runs on the room below the frame
 * and comes back here.
 */
#include "remote/arch/x86_64/agent.h"

#define NR_munmap	11
#define NR_rt_sigreturn 15
#define NR_tgkill	234

	.section .rodata.agent, "a", @progbits
	.balign	64
	.globl	agent_start, agent_single, agent_end
	.hidden	agent_start, agent_single, agent_end
agent_start:
	movq	HEAD_SEQ(%rbp), %rax
	cmpq	%rax, HEAD_DONE(%rbp)
	je	finish
	movq	HEAD_CALLS(%rbp), %rbx
	movq	HEAD_NCALLS(%rbp), %r12
	leaq	batch_end(%rip), %r13
	jmp	run

batch_end:
	movq	HEAD_SEQ(%rbp), %rax
	movq	%rax, HEAD_DONE(%rbp)
	movl	$NR_tgkill, %eax
	movq	HEAD_TGID(%rbp), %rdi
	movq	HEAD_TID(%rbp), %rsi
	movq	HEAD_SIGNO(%rbp), %rdx
	syscall
	jmp	agent_start

	/* The tracer is gone. Two threads may come here at once: only one gets the list. */
finish:
	leaq	agent_start + SCRATCH_SHARED(%rip), %rbx
	xorl	%r12d, %r12d
	xchgq	%r12, CLEANUP_COUNT(%rbx)
	addq	$CLEANUP_CALLS, %rbx
	leaq	leave(%rip), %r13
	jmp	run

	/*
	 * The last one takes its frame to a place outside and unmaps this area by a `syscall; ret` of
	 * the target, whose `ret` goes to the target's own rt_sigreturn.
	 */
leave:
	leaq	agent_start + SCRATCH_SHARED + EXIT_OFFSET(%rip), %rbx
	lock decq EXIT_USERS(%rbx)
	jnz	restore
	movq	EXIT_SPOT(%rbx), %rdx
	testq	%rdx, %rdx
	jz	restore
	leaq	-8(%rsp), %rsi
	movq	%rdx, %rdi
	movq	EXIT_FRAME_LEN(%rbx), %rcx
	cld
	rep movsb
	movq	EXIT_SIGRETURN(%rbx), %rax
	movq	%rax, (%rdx)
	movq	EXIT_FPSTATE(%rbx), %rcx
	movq	EXIT_FPSTATE_OFF(%rbx), %rax
	addq	%rdx, %rax
	movq	%rax, (%rdx,%rcx)
	movq	%rdx, %rsp
	movq	EXIT_BASE(%rbx), %rdi
	movq	EXIT_LEN(%rbx), %rsi
	movl	$NR_munmap, %eax
	jmpq	*EXIT_SYSCALL_RET(%rbx)

	/* For calls made one by one between two syscall stops; see scratch.c. */
agent_single:
	syscall
restore:
	movl	$NR_rt_sigreturn, %eax
	syscall
	ud2

	/* r12 calls at rbx, then to r13. The kernel changes nothing but rax, rcx, r11. */
run:
	testq	%r12, %r12
	jz	2f
	movq	CALL_FLAGS(%rbx), %r14
	testq	$CALL_LOADS, %r14
	jnz	load_args
1:
	movq	CALL_NR(%rbx), %rax
	movq	CALL_ARGS+0(%rbx), %rdi
	movq	CALL_ARGS+8(%rbx), %rsi
	movq	CALL_ARGS+16(%rbx), %rdx
	movq	CALL_ARGS+24(%rbx), %r10
	movq	CALL_ARGS+32(%rbx), %r8
	movq	CALL_ARGS+40(%rbx), %r9
	syscall
	movq	%rax, CALL_RET(%rbx)
	btq	$CALL_MUST_BIT, %r14
	jnc	3f
	cmpq	$-4095, %rax
	jae	2f
3:
	addq	$CALL_SIZE, %rbx
	decq	%r12
	jmp	run
2:
	jmpq	*%r13

load_args:
	xorl	%ecx, %ecx
4:
	leal	CALL_LOAD64_SHIFT(%rcx), %edx
	btq	%rdx, %r14
	jnc	5f
	movq	CALL_ARGS(%rbx,%rcx,8), %rax
	movq	(%rax), %rax
	movq	%rax, CALL_ARGS(%rbx,%rcx,8)
5:
	leal	CALL_LOAD32_SHIFT(%rcx), %edx
	btq	%rdx, %r14
	jnc	6f
	movq	CALL_ARGS(%rbx,%rcx,8), %rsi
	movl	(%rsi), %eax
	btq	$CALL_TAKE_BIT, %r14
	jnc	7f
	movl	$-1, %eax
	xchgl	%eax, (%rsi)
7:
	movq	%rax, CALL_ARGS(%rbx,%rcx,8)
6:
	incl	%ecx
	cmpl	$6, %ecx
	jb	4b
	jmp	1b
agent_end:
	.size	agent_start, . - agent_start
	.section .note.GNU-stack, "", @progbits
