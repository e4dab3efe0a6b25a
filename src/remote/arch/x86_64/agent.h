/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: the few instructions that run in a target, and the memory that they share with us.
 * Included by agent.S too; agent.c checks that both see the same layout.
 *
 * The scratch area in a target:
 *
 *	+0        code, read and execute only
 *	+SLOT(0)  head of slot 0, room for a signal frame, frame with the thread's own state
 *	+SLOT(1)  the same for a second thread
 *	+SHARED   cleanup list, buffers for passing descriptors
 *	+CALLS    the calls of the running batch
 *	+DATA     the data of the running batch
 *
 * A thread in the agent has rbp = its slot's head and rsp = the frame, as rt_sigreturn wants it.
 */
#pragma once

#define SCRATCH_SLOT(i)	    (0x1000 + (i)*SCRATCH_SLOT_SIZE)
#define SCRATCH_SLOT_SIZE   0xc000
#define SCRATCH_FRAME	    0x8000 /* in a slot: below it, room for a handler (see agent.S) */
#define SCRATCH_FRAME_SIZE  0x4000
#define SCRATCH_SLOTS	    2
#define SCRATCH_SHARED	    0x19000
#define SCRATCH_SHARED_SIZE 0x1000
#define SCRATCH_CALLS	    0x1a000
#define SCRATCH_CALLS_SIZE  0x12000
#define SCRATCH_DATA	    0x2c000
#define SCRATCH_DATA_SIZE   0x20000
#define SCRATCH_LEN	    0x4c000

#define HEAD_DONE   0
#define HEAD_NCALLS 8
#define HEAD_CALLS  16
#define HEAD_TGID   24
#define HEAD_TID    32
#define HEAD_SIGNO  40
#define HEAD_SEQ    48

#define CALL_NR	   0
#define CALL_ARGS  8
#define CALL_RET   56
#define CALL_FLAGS 64
#define CALL_SIZE  72

#define CALL_LOAD64_SHIFT 0 /* argument i holds the address of its value: bit i */
#define CALL_LOAD32_SHIFT 8
#define CALL_LOADS	  0x3f3f
#define CALL_MUST_BIT	  16
#define CALL_TAKE_BIT	  17 /* 32-bit values are replaced by -1 when they are loaded */

/* In the shared page: how the last thread that leaves without us unmaps all of this. */
#define EXIT_OFFSET	 0xf00
#define EXIT_USERS	 0 /* threads in the agent */
#define EXIT_SPOT	 8 /* a place outside for the frame, 0: none */
#define EXIT_FRAME_LEN	 16
#define EXIT_FPSTATE	 24 /* in the frame: offset of the pointer, ... */
#define EXIT_FPSTATE_OFF 32 /* ... and of what it points to */
#define EXIT_SIGRETURN	 40
#define EXIT_SYSCALL_RET 48
#define EXIT_BASE	 56
#define EXIT_LEN	 64

#define CLEANUP_COUNT 0
#define CLEANUP_CALLS 8
#define CLEANUP_MAX   30

#ifndef __ASSEMBLER__
#include <stdint.h>

struct agent_call {
	uint64_t nr;
	uint64_t args[6];
	int64_t ret;
	uint64_t flags;
};

/* Written by us as one piece from `ncalls` to `seq`; `seq` != `done` says that there is work. */
struct agent_head {
	uint64_t done;
	uint64_t ncalls;
	uint64_t calls;
	uint64_t tgid, tid, signo;
	uint64_t seq;
};

/* Calls to be made before a target that lost its tracer goes on. */
struct agent_cleanup {
	uint64_t count;
	struct agent_call calls[CLEANUP_MAX];
};

struct agent_exit {
	uint64_t users;
	uint64_t spot, frame_len;
	uint64_t fpstate, fpstate_off;
	uint64_t sigreturn, syscall_ret;
	uint64_t base, len;
};

extern const uint8_t agent_start[], agent_single[], agent_end[];
#endif
