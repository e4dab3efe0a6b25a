/* SPDX-License-Identifier: Apache-2.0 */
#include "busy_target.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 2000000L

static struct busy *busy;
static bool allow_eintr;
static _Atomic unsigned long stray_signals;

typedef void worker_fn(struct busy_worker *w);

__attribute__((format(printf, 2, 3))) static void fail(struct busy_worker *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failures++)
		return;
	va_start(ap, fmt);
	vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
	va_end(ap);
}

static long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

/* `got` must be `want`, after at least a tick's time if `start` isn't 0. */
static void expect(struct busy_worker *w, long got, long want, long start)
{
	int e = errno;

	if (got != want)
		fail(w, "result %ld instead of %ld (%s)", got, want, strerror(e));
	else if (start && now_us() - start < TICK_NS / 1000 - 100)
		fail(w, "over after %ld us", now_us() - start);
}

static void work_nanosleep(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS};
	long start = now_us();

	expect(w, nanosleep(&ts, NULL), 0, start);
}

static void work_poll(struct busy_worker *w)
{
	struct pollfd none = {.fd = -1};
	long start = now_us();

	expect(w, poll(&none, 1, TICK_NS / 1000000), 0, start);
}

static void work_select(struct busy_worker *w)
{
	struct timeval tv = {0, TICK_NS / 1000};
	long start = now_us();

	expect(w, select(0, NULL, NULL, NULL, &tv), 0, start);
}

static void work_futex(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS};
	uint32_t word = 0;
	long start = now_us(), r = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);

	if (r != -1 || errno != ETIMEDOUT)
		fail(w, "futex: %ld (%s)", r, strerror(errno));
	else
		expect(w, 0, 0, start);
}

static void work_epoll(struct busy_worker *w)
{
	static _Thread_local int fd = -1;
	struct epoll_event ev;
	long start = now_us();
	int r;

	if (fd < 0)
		fd = epoll_create1(EPOLL_CLOEXEC);
	r = epoll_wait(fd, &ev, 1, TICK_NS / 1000000);
	if (r < 0 && errno == EINTR && allow_eintr)
		return;
	expect(w, r, 0, start);
}

static void work_sigtimedwait(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS};
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	r = sigtimedwait(&set, NULL, &ts);
	if (r == -1 && errno == EINTR && allow_eintr)
		return;
	if (r != -1 || errno != EAGAIN)
		fail(w, "sigtimedwait: %d (%s)", r, strerror(errno));
}

static int pipe_fds[2], listener;
static struct sockaddr_un listener_addr;
static socklen_t listener_len;

static void work_read(struct busy_worker *w)
{
	char c;

	expect(w, read(pipe_fds[0], &c, 1), 1, 0);
}

static void work_write(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS / 2};

	expect(w, nanosleep(&ts, &ts), 0, 0);
	expect(w, write(pipe_fds[1], "x", 1), 1, 0);
}

static void work_accept(struct busy_worker *w)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		fail(w, "accept: %s", strerror(errno));
	else
		close(fd);
}

static void work_connect(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS / 2};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect(w, nanosleep(&ts, NULL), 0, 0);
	expect(w, connect(fd, (struct sockaddr *)&listener_addr, listener_len), 0, 0);
	close(fd);
}

static _Thread_local volatile sig_atomic_t handled;
static _Atomic pid_t pauser;

static void on_signal(int signo)
{
	handled++;
}

static void on_stray(int signo)
{
	stray_signals++;
}

static void work_pause(struct busy_worker *w)
{
	int before = handled, r;

	pauser = (pid_t)syscall(SYS_gettid);
	r = pause();
	/* A signal just before pause() makes it two of them. */
	if (r != -1 || errno != EINTR || handled == before)
		fail(w, "pause: %d (%s), %d signals", r, strerror(errno), handled - before);
}

static void work_signaller(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS};

	expect(w, nanosleep(&ts, NULL), 0, 0);
	if (pauser)
		expect(w, syscall(SYS_tgkill, getpid(), pauser, SIGUSR1), 0, 0);
}

static void work_sigsuspend(struct busy_worker *w)
{
	struct timespec ts = {0, TICK_NS / 4};
	static _Thread_local bool blocked;
	sigset_t set, none;
	int before = handled;

	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	if (!blocked)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	blocked = true;
	nanosleep(&ts, NULL);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2);
	if (handled != before)
		fail(w, "blocked signal was delivered");
	expect(w, sigsuspend(&none), -1, 0);
	if (handled != before + 1)
		fail(w, "sigsuspend: %d signals", handled - before);
}

/* 16 AVX-512 registers, 7 mask registers, and MXCSR hold their values over a millisecond. */
__attribute__((target("avx512f,avx512bw"))) static void work_avx512(struct busy_worker *w)
{
	static _Thread_local uint64_t in[16][8] __attribute__((aligned(64)));
	static _Thread_local uint64_t out[16][8] __attribute__((aligned(64)));
	static _Thread_local uint64_t k[2];

	for (int i = 0; i < 16; i++)
		for (int j = 0; j < 8; j++)
			in[i][j] = w->rounds * 0x9e3779b97f4a7c15 + (uint64_t)(i * 8 + j);
	k[0] = w->rounds * 0x2545f4914f6cdd1d;
	__asm__ volatile(
		"vmovdqa64 (%0), %%zmm16; vmovdqa64 64(%0), %%zmm17; vmovdqa64 128(%0), %%zmm2\n"
		"vmovdqa64 192(%0), %%zmm3; vmovdqa64 256(%0), %%zmm20; vmovdqa64 320(%0), %%zmm31\n"
		"kmovq (%2), %%k3\n"
		"mov $200000, %%ecx\n"
		"1: dec %%ecx; jnz 1b\n"
		"vmovdqa64 %%zmm16, (%1); vmovdqa64 %%zmm17, 64(%1); vmovdqa64 %%zmm2, 128(%1)\n"
		"vmovdqa64 %%zmm3, 192(%1); vmovdqa64 %%zmm20, 256(%1); vmovdqa64 %%zmm31, 320(%1)\n"
		"kmovq %%k3, 8(%2)\n"
		:
		: "r"(in), "r"(out), "r"(k)
		: "ecx", "memory", "xmm2", "xmm3", "xmm16", "xmm17", "xmm20", "xmm31", "k3");
	if (memcmp(in, out, 6 * 64) != 0)
		fail(w, "a vector register has changed");
	if (k[0] != k[1])
		fail(w, "a mask register has changed");
}

/* General registers, x87 and SSE, without a system call. */
static void work_compute(struct busy_worker *w)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, n = 100000;
	double x = 0;
	long double y = 0;

	for (uint64_t i = 0; i < n; i++) {
		__asm__ volatile(
			"inc %0; add %0, %1; xor %1, %2; add %2, %3; rol $7, %4; add %4, %5"
			: "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
		x += 1.0 / (double)(i + 1);
		y += 1.0L / (long double)(i + 1);
	}
	if (a != n + 1 || (double)y - x > 1e-9 || x - (double)y > 1e-9 || x < 12.09 || x > 12.0902)
		fail(w, "a = %lu, x = %.9f", a, x);
	{
		static _Thread_local uint64_t sum;
		uint64_t now = b ^ c ^ d ^ e ^ f;

		if (sum && sum != now)
			fail(w, "checksum of registers has changed");
		sum = now;
	}
}

/* A child process that gets and gives a byte: fork, exit status, pipes. */
static void work_child(struct busy_worker *w)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct timespec ts = {0, TICK_NS};

		_exit(nanosleep(&ts, NULL) == 0 ? 7 : 8);
	}
	if (pid < 0)
		fail(w, "fork: %s", strerror(errno));
	else if (waitpid(pid, &status, 0) != pid || status != 7 << 8)
		fail(w, "waitpid: status %#x (%s)", status, strerror(errno));
}

static const struct {
	const char *name;
	worker_fn *fn;
} workers[] = {
	{"nanosleep", work_nanosleep},
	{"poll", work_poll},
	{"select", work_select},
	{"futex", work_futex},
	{"epoll_wait", work_epoll},
	{"sigtimedwait", work_sigtimedwait},
	{"read", work_read},
	{"write", work_write},
	{"accept", work_accept},
	{"connect", work_connect},
	{"pause", work_pause},
	{"signaller", work_signaller},
	{"sigsuspend", work_sigsuspend},
	{"compute", work_compute},
	{"avx512", work_avx512},
	{"child", work_child},
};
#define NWORKERS (sizeof(workers) / sizeof(workers[0]))

static void *worker_main(void *arg)
{
	size_t i = (size_t)arg;

	busy->workers[i].tid = (pid_t)syscall(SYS_gettid);
	while (!busy->quit) {
		workers[i].fn(&busy->workers[i]);
		busy->workers[i].rounds++;
		/* A tracer that dies at the end of a batch may leave one: see enter.c. */
		if (stray_signals && !allow_eintr) {
			fail(&busy->workers[i], "a handler ran for nothing");
			stray_signals = 0;
		}
	}
	return NULL;
}

#define DENY(nr)                                                                                   \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* What a tracer's remote calls are made of kills; the workers don't need it any more. */
static void install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		DENY(SYS_mmap),
		DENY(SYS_munmap),
		DENY(SYS_mprotect),
		DENY(SYS_madvise),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0)
		_exit(3);
}

static void target_main(int flags)
{
	struct sigaction sa = {.sa_handler = on_signal}, stray = {.sa_handler = on_stray};
	pthread_t t;

	allow_eintr = flags & BUSY_ALLOW_EINTR;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	if (flags & BUSY_CATCH_ALL) {
		sigaction(SIGURG, &stray, NULL);
		sigaction(SIGWINCH, &stray, NULL);
	}
	if (pipe(pipe_fds) < 0)
		_exit(3);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	listener_addr.sun_family = AF_UNIX;
	listener_len = sizeof(sa_family_t);
	if (bind(listener, (struct sockaddr *)&listener_addr, listener_len) < 0 ||
	    listen(listener, 8) < 0)
		_exit(3);
	listener_len = sizeof(listener_addr);
	getsockname(listener, (struct sockaddr *)&listener_addr, &listener_len);
	for (size_t i = 1; i < busy->n; i++)
		if (pthread_create(&t, NULL, worker_main, (void *)i) != 0)
			_exit(3);
	if (flags & BUSY_FILTER)
		install_filter();
	worker_main((void *)0);
	_exit(0);
}

static pid_t fork_target(int flags)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			target_main(flags);
		_exit(0);
	}
	return pid;
}

struct fork_order {
	int flags;
	_Atomic pid_t pid; /* 0 until it is done */
};

/* Stays: its end would be that of the child (PR_SET_PDEATHSIG). */
static void *forking_thread(void *arg)
{
	struct fork_order *order = arg;

	order->pid = fork_target(order->flags);
	while (pause() < 0)
		;
	return NULL;
}

static void use_stack(void)
{
	volatile char deep[1 << 20];

	for (size_t i = 0; i < sizeof(deep); i += 4096)
		deep[i] = 1;
}

static pid_t fork_by_thread(int flags)
{
	static struct fork_order order;
	pthread_t thread;

	order.flags = flags;
	order.pid = 0;
	use_stack();
	if (pthread_create(&thread, NULL, forking_thread, &order) != 0)
		return -1;
	while (!order.pid)
		usleep(1000);
	return order.pid;
}

pid_t busy_start(int flags, struct busy **ret)
{
	pid_t pid;

	busy = mmap(NULL, sizeof(*busy), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (busy == MAP_FAILED)
		return -1;
	for (size_t i = 0; i < NWORKERS; i++) {
		if (workers[i].fn == work_avx512 && !__builtin_cpu_supports("avx512bw"))
			continue;
		snprintf(busy->workers[busy->n++].name, sizeof(busy->workers[0].name), "%s",
			 workers[i].name);
	}
	pid = flags & BUSY_THREAD_CHILD ? fork_by_thread(flags) : fork_target(flags);
	*ret = busy;
	return pid;
}

void busy_rounds(const struct busy *b, unsigned long *rounds)
{
	for (size_t i = 0; i < b->n; i++)
		rounds[i] = b->workers[i].rounds;
}

/* What the kernel says of a thread that doesn't get on. */
static void print_thread(pid_t tid)
{
	static const char *const files[] = {"stat", "syscall", "wchan"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[64], text[512];
		FILE *f;
		size_t n = 0;

		snprintf(path, sizeof(path), "/proc/%d/%s", tid, files[i]);
		f = fopen(path, "r");
		if (f) {
			n = fread(text, 1, sizeof(text) - 1, f);
			fclose(f);
		}
		text[n] = '\0';
		printf("  %s: %s%s", files[i], text, n && text[n - 1] == '\n' ? "" : "\n");
	}
}

unsigned long busy_check(const struct busy *b, const unsigned long *last)
{
	unsigned long bad = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct busy_worker *w = &b->workers[i];

		if (w->failures)
			printf("%s: %lu failures in %lu rounds: %s\n", w->name, w->failures,
			       w->rounds, w->failure);
		if (last && w->rounds == last[i]) {
			printf("%s: stuck in round %lu\n", w->name, w->rounds);
			print_thread(w->tid);
		}
		bad += w->failures + (last && w->rounds == last[i]);
	}
	return bad;
}

size_t busy_stuck(const struct busy *b, const unsigned long *last)
{
	size_t stuck = 0;

	for (size_t i = 0; i < b->n; i++)
		stuck += b->workers[i].rounds == last[i];
	return stuck;
}
