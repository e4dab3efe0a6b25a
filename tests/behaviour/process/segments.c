/* SPDX-License-Identifier: Apache-2.0 */
/* The FS and GS bases of each thread: set by arch_prctl() or by the instruction itself. */
#include "behave.h"

#include <asm/prctl.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 3, HWCAP2_FSGSBASE_BIT = 1 << 1 };

static uint64_t areas[THREADS + 1][4];
static _Atomic int set_up;

static uint64_t gs_word(void)
{
	uint64_t value;

	__asm__ volatile("mov %%gs:8, %0" : "=r"(value));
	return value;
}

static uint64_t base(int which)
{
	uint64_t value = 0;

	SYS(syscall(SYS_arch_prctl, which, &value));
	return value;
}

static void set_gs(int i)
{
	areas[i][1] = 0xabcd0000 + (uint64_t)i;
	if (i % 2 && (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT))
		__asm__ volatile("wrgsbase %0" ::"r"(areas[i]));
	else
		SYS(syscall(SYS_arch_prctl, ARCH_SET_GS, areas[i]));
}

static void check(int i, uint64_t fs)
{
	CHECK_EQ(base(ARCH_GET_GS), (uint64_t)(uintptr_t)areas[i]);
	CHECK_EQ(gs_word(), 0xabcd0000 + i);
	CHECK_EQ(base(ARCH_GET_FS), fs);
	CHECK_EQ(fs, (uint64_t)pthread_self());
}

static void *thread(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint64_t fs = base(ARCH_GET_FS);

	set_gs(i);
	set_up++;
	behave_await_go();
	check(i, fs);
	return NULL;
}

BEHAVE("FS and GS bases of threads")
{
	uint64_t fs = base(ARCH_GET_FS);
	pthread_t threads[THREADS];

	set_gs(THREADS);
	for (intptr_t i = 0; i < THREADS; i++)
		threads[i] = behave_thread(thread, (void *)i);
	while (set_up < THREADS)
		behave_nap(1);
	FREEZE();
	check(THREADS, fs);
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
