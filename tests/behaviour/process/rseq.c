/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restartable sequences: the C library's registration of each thread is in force afterwards (the
 * kernel keeps the number of the CPU up to date), with the address, length and signature that it
 * had; a task that isn't registered stays so; and a sequence in progress is aborted properly.
 */
#include "behave.h"

#include <errno.h>
#include <linux/rseq.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int go_on;
static _Atomic int set_up;

static struct rseq *area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* glibc before 2.40 registers 32 bytes; later what the kernel wants, at least 32. */
static unsigned int area_len(void)
{
	return __rseq_size > 32 ? __rseq_size : 32;
}

/* On each CPU in turn the kernel must tell which it is. */
static void check_cpu_ids(void)
{
	volatile struct rseq *r = area();
	cpu_set_t old, one;

	SYS(sched_getaffinity(0, sizeof(old), &old));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &old))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		SYS(sched_setaffinity(0, sizeof(one), &one));
		CHECK_EQ(r->cpu_id, cpu);
		CHECK_EQ(r->cpu_id_start, cpu);
	}
	SYS(sched_setaffinity(0, sizeof(old), &old));
}

static void check_registration(void)
{
	CHECK(syscall(SYS_rseq, area(), area_len(), 0, RSEQ_SIG) < 0 && errno == EBUSY,
	      "rseq wasn't registered");
	CHECK(syscall(SYS_rseq, area(), area_len(), RSEQ_FLAG_UNREGISTER, RSEQ_SIG + 1) < 0 &&
		      errno == EPERM,
	      "another signature is registered");
	CHECK_EQ(syscall(SYS_rseq, area(), area_len(), RSEQ_FLAG_UNREGISTER, RSEQ_SIG), 0);
	CHECK_EQ(syscall(SYS_rseq, area(), area_len(), 0, RSEQ_SIG), 0);
}

static void *thread(void *arg)
{
	set_up++;
	behave_await_go();
	check_cpu_ids();
	check_registration();
	return NULL;
}

static void unregistered(void *arg)
{
	SYS(syscall(SYS_rseq, area(), area_len(), RSEQ_FLAG_UNREGISTER, RSEQ_SIG));
	behave_child_ready();
	behave_await_go();
	CHECK_EQ((int)area()->cpu_id, RSEQ_CPU_ID_UNINITIALIZED);
	CHECK_EQ(syscall(SYS_rseq, area(), area_len(), 0, RSEQ_SIG), 0);
	check_cpu_ids();
}

/*
 * A loop within a sequence. Each preemption aborts it, to label 4, which counts and enters it
 * again; only the sequence's own instructions may have run when it is left by label 2.
 */
static uint64_t spin_in_sequence(void)
{
	uint64_t aborts = 0;

	__asm__ volatile(".pushsection __rseq_cs, \"aw\"\n"
			 ".balign 32\n"
			 "3: .long 0, 0\n"
			 ".quad 1f, 2f - 1f, 4f\n"
			 ".popsection\n"
			 "jmp 5f\n"
			 ".long %c[sig]\n" /* must precede the abort handler */
			 "4: inc %[aborts]\n"
			 "5: lea 3b(%%rip), %%rax\n"
			 "mov %%rax, %[cs]\n"
			 "1: cmpl $0, %[flag]\n"
			 "je 1b\n"
			 "2: movq $0, %[cs]\n"
			 : [aborts] "+r"(aborts)
			 : [cs] "m"(area()->rseq_cs), [flag] "m"(go_on), [sig] "i"(RSEQ_SIG)
			 : "rax", "memory", "cc");
	return aborts;
}

static void *spinner(void *arg)
{
	set_up++;
	CHECK(spin_in_sequence() > 0, "no abort of a sequence that was frozen");
	check_cpu_ids();
	return NULL;
}

BEHAVE("restartable sequences")
{
	pthread_t one, other;
	pid_t pid;

	if (!__rseq_size || (int)area()->cpu_id < 0)
		behave_skip("the C library has registered no rseq area");
	one = behave_thread(thread, NULL);
	other = behave_thread(spinner, NULL);
	pid = behave_fork(unregistered, NULL);
	behave_await_children(1);
	while (set_up < 2)
		behave_nap(1);
	FREEZE();
	go_on = 1;
	check_cpu_ids();
	check_registration();
	MUST(pthread_join(one, NULL) == 0);
	MUST(pthread_join(other, NULL) == 0);
	behave_join(pid);
}
