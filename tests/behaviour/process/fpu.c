/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87, SSE, AVX and AVX-512 registers of threads that compute and of threads that sleep in a
 * system call (which keeps all of them). A thread of each kind: one that has touched SSE alone
 * has an XSAVE image in which the other components are in their initial state.
 */
#include "behave.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct fpu_regs {
	uint8_t zmm[32][64]; /* a smaller register is the head of its row */
	uint64_t k[8];
	long double st[8];
	uint32_t mxcsr;
	uint16_t control;
} __attribute__((aligned(64)));

static volatile int go_on;
static _Atomic int running;

#define EACH16(X)                                                                                  \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH32(X)                                                                                  \
	EACH16(X)                                                                                  \
	X(16)                                                                                      \
	X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

#define LOAD_XMM(n)  "movaps " #n "*64(%0), %%xmm" #n "\n"
#define STORE_XMM(n) "movaps %%xmm" #n ", " #n "*64(%0)\n"
#define LOAD_YMM(n)  "vmovaps " #n "*64(%0), %%ymm" #n "\n"
#define STORE_YMM(n) "vmovaps %%ymm" #n ", " #n "*64(%0)\n"
#define LOAD_ZMM(n)  "vmovaps " #n "*64(%0), %%zmm" #n "\n"
#define STORE_ZMM(n) "vmovaps %%zmm" #n ", " #n "*64(%0)\n"
#define LOAD_K(n)    "kmovq 2048+" #n "*8(%0), %%k" #n "\n"
#define STORE_K(n)   "kmovq %%k" #n ", 2048+" #n "*8(%0)\n"
#define EACH8(X)     X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Load, wait and store are one piece of assembly: the compiler has no part in it. */
#define WAITER(name, LOAD, STORE)                                                                  \
	__attribute__((noinline)) static void name(struct fpu_regs *r, bool sleeps)                \
	{                                                                                          \
		static const struct timespec nap = {.tv_nsec = 3000000};                           \
                                                                                                   \
		__asm__ volatile(LOAD "1: cmpl $0, %1\n"                                           \
				      "jne 2f\n"                                                   \
				      "test %k2, %k2\n"                                            \
				      "jz 1b\n"                                                    \
				      "mov %4, %%eax\n"                                            \
				      "mov %3, %%rdi\n"                                            \
				      "xor %%esi, %%esi\n"                                         \
				      "syscall\n"                                                  \
				      "jmp 1b\n"                                                   \
				      "2:\n" STORE                                                 \
				 :                                                                 \
				 : "r"(r), "m"(go_on), "r"((int)sleeps), "r"(&nap),                \
				   "i"(SYS_nanosleep)                                              \
				 : "rax", "rcx", "r11", "rdi", "rsi", "memory", "cc");             \
	}

WAITER(wait_x87,
       "fninit; fldcw 2244(%0)\n"
       "fldt 2224(%0); fldt 2208(%0); fldt 2192(%0); fldt 2176(%0)\n"
       "fldt 2160(%0); fldt 2144(%0); fldt 2128(%0); fldt 2112(%0)\n",
       "fstpt 2112(%0); fstpt 2128(%0); fstpt 2144(%0); fstpt 2160(%0)\n"
       "fstpt 2176(%0); fstpt 2192(%0); fstpt 2208(%0); fstpt 2224(%0)\n"
       "fnstcw 2244(%0); fninit\n")
WAITER(wait_sse, "ldmxcsr 2240(%0)\n" EACH16(LOAD_XMM), EACH16(STORE_XMM) "stmxcsr 2240(%0)\n")
WAITER(wait_avx, "ldmxcsr 2240(%0)\n" EACH16(LOAD_YMM),
       EACH16(STORE_YMM) "stmxcsr 2240(%0)\nvzeroupper\n")
WAITER(wait_avx512, EACH32(LOAD_ZMM) EACH8(LOAD_K), EACH32(STORE_ZMM) EACH8(STORE_K) "vzeroupper\n")

_Static_assert(__builtin_offsetof(struct fpu_regs, k) == 2048, "known to the assembly");
_Static_assert(__builtin_offsetof(struct fpu_regs, st) == 2112, "known to the assembly");
_Static_assert(__builtin_offsetof(struct fpu_regs, mxcsr) == 2240, "known to the assembly");
_Static_assert(__builtin_offsetof(struct fpu_regs, control) == 2244, "known to the assembly");

struct kind {
	const char *name;
	void (*wait)(struct fpu_regs *r, bool sleeps);
	unsigned int rows, row_len;
};

static const struct kind kinds[] = {
	{"x87", wait_x87, 0, 0},
	{"SSE", wait_sse, 16, 16},
	{"AVX", wait_avx, 16, 32},
	{"AVX-512", wait_avx512, 32, 64},
};

static void fill(struct fpu_regs *r, unsigned int seed)
{
	memset(r, 0, sizeof(*r));
	for (unsigned int row = 0; row < 32; row++) {
		for (unsigned int i = 0; i < 64; i++)
			r->zmm[row][i] = (uint8_t)(seed * 31 + row * 67 + i * 5 + 1);
	}
	for (unsigned int i = 0; i < 8; i++) {
		r->k[i] = 0x0123456789abcdefu * (i + seed + 1);
		r->st[i] = 3.25L * (i + 1) + seed / 7.0L;
	}
	/* Rounding and the sticky bits; precision of x87. */
	r->mxcsr = 0x1f80 | 0x6000 | (seed & 0x3f);
	r->control = 0x0c7f;
}

static void *thread(void *arg)
{
	const unsigned int n = (unsigned int)(intptr_t)arg;
	const struct kind *kind = &kinds[n / 2];
	struct fpu_regs got, want;

	fill(&want, n);
	got = want;
	running++;
	kind->wait(&got, n % 2);
	for (unsigned int row = 0; row < kind->rows; row++)
		CHECK(!memcmp(got.zmm[row], want.zmm[row], kind->row_len), "%s register %u%s",
		      kind->name, row, n % 2 ? " of a sleeper" : "");
	for (unsigned int i = 0; i < 8; i++) {
		CHECK(got.k[i] == want.k[i], "mask register %u", i);
		CHECK(got.st[i] == want.st[i], "x87 register %u%s", i,
		      n % 2 ? " of a sleeper" : "");
	}
	CHECK_EQ(got.mxcsr, want.mxcsr);
	CHECK_EQ(got.control, want.control);
	return NULL;
}

/* What CPU and kernel offer. */
static int known_kinds(void)
{
	return __builtin_cpu_supports("avx512bw") ? 4 : __builtin_cpu_supports("avx") ? 3 : 2;
}

BEHAVE("x87, SSE, AVX and AVX-512 registers, computing and sleeping")
{
	const int n = 2 * known_kinds();
	pthread_t threads[8];

	for (intptr_t i = 0; i < n; i++)
		threads[i] = behave_thread(thread, (void *)i);
	while (running < n)
		behave_nap(1);
	behave_nap(20);
	FREEZE();
	go_on = 1;
	for (int i = 0; i < n; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
