/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmarks freeze and wake.
 *
 *   target idle                   a process with next to no memory
 *   target tree N KIB             a process and N children with KIB of own memory each
 *   target threads N              a process of N threads
 *   target memory MIB TASKS 4k    so many tasks, each with that much memory in pages of 4 KiB
 *   target memory MIB TASKS huge  in transparent huge pages
 *   target cow MIB N              a parent and N children that rewrote 2% of its memory each
 *   target sparse GIB MIB         MIB of memory, spread evenly over a reservation of GIB
 *
 * It creates the file "ready" when it is. From "memory" on it also serves the file "board"
 * (board.h): two threads of the first task tick, and a thread of each task rewrites and writes
 * its memory when it is told to.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

#define MIB	    (1ul << 20)
#define PAGE	    4096ul
#define CHUNK	    (4 * MIB)
#define TICK_NS	    50000
#define LONG_GAP_NS 250000
#define WORK_NS	    1000000

static struct board *board;

/* The memory of this task. Its pages are visited in steps of a prime: each once, all over it. */
static char *mem;
static size_t npages, at;
#define STEP 1000003

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void ready(void)
{
	int fd = open("ready", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	must(fd >= 0, "ready");
	close(fd);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_ns(long ns)
{
	struct timespec t = {.tv_nsec = ns};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void wait_forever(void)
{
	for (;;)
		pause();
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(p != MAP_FAILED, "mmap");
	return p;
}

/* No two words alike, in no two tasks, and none of them zero. */
static void scribble(char *to, size_t bytes, uint64_t seed)
{
	uint64_t *p = (uint64_t *)(void *)to;

	for (size_t i = 0; i < bytes / sizeof(*p); i++)
		p[i] = (i + 1 + (seed << 40)) * 0x9e3779b97f4a7c15ul;
}

/* Private memory. At a huge page's boundary, so that there is nothing odd at its ends. */
static char *fill(size_t bytes, bool huge, uint64_t seed)
{
	char *p = map(bytes + 2 * MIB);
	char *start = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));

	munmap(p, (size_t)(start - p));
	munmap(start + bytes, (size_t)(p + 2 * MIB - start));
	must(madvise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0, "madvise");
	scribble(start, bytes, seed);
	return start;
}

/* ---- what threads of the target do all the time */

static void tick(struct board_ticker *t)
{
	uint64_t last = now_ns();

	/* A tick isn't put off to be done together with others'. */
	prctl(PR_SET_TIMERSLACK, 1);
	for (;;) {
		uint64_t window = __atomic_load_n(&board->window, __ATOMIC_ACQUIRE);
		uint64_t now;

		/* A yardstick has the machine to itself: a program that is being dumped doesn't
		 * tick. */
		sleep_ns(board->tasks[0].written == board->write ? TICK_NS : WORK_NS);
		now = now_ns();
		if (t->window != window) {
			t->ticks = t->max_ns = t->long_gaps = 0;
			__atomic_store_n(&t->window, window, __ATOMIC_RELEASE);
		} else {
			if (now - last > t->max_ns)
				t->max_ns = now - last;
			t->long_gaps += now - last > LONG_GAP_NS;
			__atomic_store_n(&t->ticks, t->ticks + 1, __ATOMIC_RELEASE);
		}
		last = now;
	}
}

static void *ticking_thread(void *ticker)
{
	tick(ticker);
	return NULL;
}

static void rewrite(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		((uint64_t *)(void *)(mem + at * PAGE))[1]++;
		at = (at + STEP) % npages;
	}
}

static void write_all(struct board_task *t)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "blob.%d", (int)(t - board->tasks));
	unlink(name);
	t->begin_ns = now_ns();
	fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	must(fd >= 0, name);
	for (size_t done = 0; done < t->size;) {
		ssize_t n = write(fd, mem + done, t->size - done < CHUNK ? t->size - done : CHUNK);

		must(n > 0, "write");
		done += (size_t)n;
	}
	t->end_ns = now_ns();
	close(fd);
	unlink(name);
}

/* The driver's wishes. One that is a moment late isn't made up for: the load stays steady. */
static void *working_thread(void *arg)
{
	struct board_task *t = arg;
	uint64_t last = now_ns();
	double due = 0;

	for (;;) {
		uint64_t touch = __atomic_load_n(&board->touch, __ATOMIC_ACQUIRE);
		uint64_t write = __atomic_load_n(&board->write, __ATOMIC_ACQUIRE);
		uint64_t now = now_ns(), passed = now - last;

		last = now;
		if (t->touched != touch) {
			rewrite(board->touch_pages);
			__atomic_store_n(&t->touched, touch, __ATOMIC_RELEASE);
		}
		if (t->written != write) {
			write_all(t);
			__atomic_store_n(&t->written, write, __ATOMIC_RELEASE);
		}
		due += (double)board->rate * (double)(passed < 10000000 ? passed : 10000000) / 1e9;
		rewrite((size_t)due);
		t->pages += (uint64_t)due;
		due -= (double)(size_t)due;
		sleep_ns(WORK_NS);
	}
	return NULL;
}

static void start_thread(void *(*function)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	must(pthread_create(&id, &attr, function, arg) == 0, "pthread_create");
}

static void serve(int task, char *start, size_t bytes)
{
	struct board_task *t = &board->tasks[task];

	mem = start;
	npages = bytes / PAGE;
	t->addr = (uintptr_t)start;
	t->size = bytes;
	start_thread(working_thread, t);
}

static void open_board(void)
{
	int fd = open("board", O_RDWR | O_CLOEXEC);

	must(fd >= 0, "board");
	board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(board != MAP_FAILED, "mmap");
	close(fd);
}

/* ---- the shapes */

/* Forks n children that run body(i, arg), say so, and stay. */
static void family(long n, void (*body)(long i, void *arg), void *arg)
{
	int go[2];
	char byte;

	must(pipe2(go, O_CLOEXEC) == 0, "pipe");
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (pid == 0) {
			body(i, arg);
			must(write(go[1], "x", 1) == 1, "write");
			close(go[0]);
			close(go[1]);
			wait_forever();
		}
	}
	for (long i = 0; i < n; i++)
		must(read(go[0], &byte, 1) == 1, "read");
	close(go[0]);
	close(go[1]);
}

static void tree_child(long i, void *bytes)
{
	scribble(map(*(size_t *)bytes), *(size_t *)bytes, (uint64_t)i);
}

struct shape {
	size_t bytes;
	bool huge;
};

static void memory_child(long i, void *arg)
{
	const struct shape *s = arg;

	serve((int)i + 1, fill(s->bytes, s->huge, (uint64_t)i + 1), s->bytes);
}

static void memory(size_t bytes, long tasks, bool huge)
{
	struct shape s = {bytes, huge};

	must(tasks >= 1 && tasks <= BOARD_TASKS, "number of tasks");
	family(tasks - 1, memory_child, &s);
	serve(0, fill(bytes, huge, 0), bytes);
}

static void cow_child(long i, void *unused)
{
	at = ((size_t)i + 1) * npages / 17;
	rewrite(npages / 50);
}

static void cow(size_t bytes, long n)
{
	mem = fill(bytes, false, 0);
	npages = bytes / PAGE;
	family(n, cow_child, NULL);
	serve(0, mem, bytes);
}

static void sparse(size_t reserved, size_t bytes)
{
	char *p = map(reserved);
	size_t n = bytes / PAGE;

	madvise(p, reserved, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < n; i++)
		scribble(p + reserved / n / PAGE * PAGE * i, PAGE, i);
	serve(0, fill(MIB, false, 0), MIB);
}

static void threads(long n)
{
	for (long i = 1; i < n; i++)
		start_thread((void *(*)(void *))(void (*)(void))wait_forever, NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long n = argc > 2 ? atol(argv[2]) : 0, m = argc > 3 ? atol(argv[3]) : 0;
	size_t kib = (size_t)m << 10;
	bool ticks = true;

	if (strcmp(what, "memory") == 0 || strcmp(what, "cow") == 0 || strcmp(what, "sparse") == 0)
		open_board();
	if (strcmp(what, "memory") == 0 && argc == 5)
		memory((size_t)n * MIB, m, strcmp(argv[4], "huge") == 0);
	else if (strcmp(what, "cow") == 0 && argc == 4)
		cow((size_t)n * MIB, m);
	else if (strcmp(what, "sparse") == 0 && argc == 4)
		sparse((size_t)n << 30, (size_t)m * MIB);
	else
		ticks = false;
	if (strcmp(what, "tree") == 0 && argc == 4)
		family(n, tree_child, &kib);
	else if (strcmp(what, "threads") == 0 && argc == 3)
		threads(n);
	else if (strcmp(what, "idle") != 0 && !ticks)
		return fprintf(stderr, "what? see the head of target.c\n"), 2;
	if (ticks)
		start_thread(ticking_thread, &board->tickers[1]);
	ready();
	if (ticks)
		tick(&board->tickers[0]);
	wait_forever();
}
