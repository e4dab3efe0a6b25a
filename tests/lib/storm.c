/* SPDX-License-Identifier: Apache-2.0 */
/* The storm's tasks and threads. See storm.h. */
#include "storm.h"

#include <errno.h>
#include <malloc.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { THREADS_MAX = 8, FOREVER = 1 << 30, LIFE = 400, EXEC_LIFE = 60, AFTERWARDS = 20 };

/* Shared by all tasks: who has which counter. */
struct control {
	_Atomic unsigned char used[STORM_SLOTS], adopted[STORM_SLOTS];
	_Atomic unsigned int nused;
};

static struct control *control;
static struct storm_world worlds[THREADS_MAX];
extern char **environ;

static unsigned int slot_take(void)
{
	for (unsigned int i = 0; i < STORM_SLOTS; i++) {
		unsigned char none = 0;

		if (atomic_compare_exchange_strong(&control->used[i], &none, 1)) {
			control->nused++;
			control->adopted[i] = 0;
			return i;
		}
	}
	behave_die(__FILE__, __LINE__, "no counter is free");
}

static void slot_give_back(unsigned int slot)
{
	control->nused--;
	control->used[slot] = 0;
}

/* ---------------------------------------------------------------- children */

static void reap(struct storm_world *w, int flags)
{
	for (size_t i = 0; i < STORM_CHILDREN; i++) {
		int status = 0;
		pid_t pid = w->children[i];

		if (!pid || waitpid(pid, &status, flags) != pid)
			continue;
		CHECK(status == 0, "child %d ended with status 0x%x", pid, status);
		w->children[i] = 0;
	}
}

static void live(struct storm_world *w, uint64_t steps)
{
	while (steps-- && !behave_go()) {
		storm_world_step(w);
		reap(w, WNOHANG);
	}
	storm_world_check(w);
	if (behave_go()) { /* what came back can also be worked with */
		for (int i = 0; i < AFTERWARDS; i++)
			storm_world_step(w);
		storm_world_check(w);
	}
	reap(w, 0);
}

struct birth {
	struct storm_world *w;
	unsigned int slot;
	void (*then)(struct storm_world *w);
};

static void child(void *arg)
{
	const struct birth *b = arg;

	storm_world_adopt(b->w, b->slot);
	control->adopted[b->slot] = 1;
	b->then(b->w);
	slot_give_back(b->slot);
}

/* A child that has w as its own; until it has taken it over, we stand still. */
static pid_t bear(struct storm_world *w, void (*then)(struct storm_world *w))
{
	struct birth b = {.w = w, .slot = slot_take(), .then = then};
	pid_t pid = behave_fork(child, &b);

	while (!control->adopted[b.slot]) {
		siginfo_t ended = {0};

		SYS(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT));
		MUST(ended.si_pid == 0);
		behave_nap(1);
	}
	return pid;
}

static void live_for_a_while(struct storm_world *w)
{
	live(w, LIFE / 8 + storm_below(w, LIFE));
}

/* It lives on and writes to its copies, while we write to ours. */
static void long_child(struct storm_world *w)
{
	unsigned int usual = w->o->tasks * w->o->threads;

	for (size_t i = 0; i < STORM_CHILDREN; i++) {
		if (w->children[i] || w->depth > 1 || control->nused > usual + 8)
			continue;
		w->children[i] = bear(w, live_for_a_while);
		return;
	}
}

/* It only looks, spoils some of its copies, and ends. The notes are still ours: we wait. */
static void short_child_body(void *arg)
{
	struct storm_world *w = arg;

	storm_world_glance(w, 30);
	for (size_t i = 0; i < w->nplaces; i++) {
		struct storm_place *p = &w->places[i];

		if (storm_is_private(p) && (p->prot & PROT_WRITE))
			memset(p->at + storm_below(w, p->npages) * PAGE, 0xee, PAGE);
	}
	behave_nap((unsigned int)storm_below(w, 3));
}

static void short_child(struct storm_world *w)
{
	behave_join(behave_fork(short_child_body, w));
}

/* Shares our memory for a moment, then has another program's. */
static void other_program(struct storm_world *w)
{
	char name[] = "true", *argv[] = {name, NULL};
	pid_t pid;

	errno = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);
	MUST(errno == 0);
	behave_join(pid);
}

/* ------------------------------------------------------- threads and stacks */

__attribute__((noinline)) static void deep(unsigned int levels, uint64_t seed)
{
	uint64_t frame[3 * PAGE / 8];

	pattern_fill(frame, sizeof(frame), seed + levels);
	__asm__ volatile("" : : "r"(frame) : "memory");
	if (levels)
		deep(levels - 1, seed);
	else
		behave_nap(1);
	__asm__ volatile("" : : "r"(frame) : "memory");
	CHECK(pattern_is(frame, sizeof(frame), seed + levels), "pid %d: a stack frame is wrong",
	      getpid());
}

/* Of the main stack little stays that was never touched. */
static void deep_stack(struct storm_world *w)
{
	deep((unsigned int)storm_below(w, 60), storm_random(w));
}

static void *short_thread_body(void *arg)
{
	deep(5, (uint64_t)(uintptr_t)arg);
	return NULL;
}

static void short_thread(struct storm_world *w)
{
	pthread_t thread;

	if (w->depth) /* of a fork of many threads: the C library promises less */
		return;
	thread = behave_thread(short_thread_body, (void *)(uintptr_t)storm_random(w));
	MUST(pthread_join(thread, NULL) == 0);
}

void storm_race_tasks(struct storm_world *w)
{
	static void (*const operations[])(struct storm_world *) = {
		short_child, long_child, other_program, deep_stack, short_thread,
	};
	size_t n = storm_below(w, 50);

	if (n < sizeof(operations) / sizeof(operations[0]))
		operations[n](w);
}

/* -------------------------------------------------------------------- exec */

/* Another address space under the same pid, again and again. */
static void exec_again(unsigned int slot)
{
	char name[] = "storm-exec", *argv[] = {name, NULL}, text[16];

	snprintf(text, sizeof(text), "%u", slot);
	MUST(setenv("STORM_EXEC", text, 1) == 0);
	SYS(execv("/proc/self/exe", argv));
}

static void exec_child(void *arg)
{
	exec_again((unsigned int)(uintptr_t)arg);
}

__attribute__((noreturn)) static void live_after_exec(unsigned int slot)
{
	static struct storm_options o = {
		.tasks = 1, .threads = 1, .burst = 10, .nap_ms = 2, .races = true};
	struct storm_world *w = &worlds[0];

	control = map_new(sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED);
	storm_world_build(w, &o, 0, slot, true);
	w->depth = 2;
	live(w, EXEC_LIFE);
	if (!behave_go() && !behave_status())
		exec_again(slot);
	_exit(behave_status());
}

/* -------------------------------------------------------------------- tasks */

struct thread {
	const struct storm_options *o;
	unsigned int index;
};

static void *thread_body(void *arg)
{
	const struct thread *t = arg;
	struct storm_world *w = &worlds[t->index];

	storm_world_build(w, t->o, t->index, slot_take(), false);
	behave_child_ready();
	live(w, FOREVER);
	return NULL;
}

static void task(struct storm_world *w)
{
	unsigned int n = w->o->threads;
	pthread_t threads[THREADS_MAX];
	struct thread args[THREADS_MAX];

	w->depth = 0;
	for (unsigned int i = 1; i < n; i++) {
		args[i] = (struct thread){.o = w->o, .index = i};
		threads[i] = behave_thread(thread_body, &args[i]);
	}
	behave_child_ready();
	if (getpid() == getsid(0)) {
		behave_await_children(w->o->tasks * n);
		behave_ready();
	}
	live(w, FOREVER);
	for (unsigned int i = 1; i < n; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}

void storm(const struct storm_options *o)
{
	const char *again = getenv("STORM_EXEC");
	pid_t pids[64] = {0};
	unsigned int n = 0;

	MUST(o->tasks < 64 && o->threads <= THREADS_MAX);
	/* The end of the heap is the storm's: the C library gets what it needs elsewhere. */
	mallopt(M_MMAP_THRESHOLD, 0);
	if (again)
		live_after_exec((unsigned int)strtoul(again, NULL, 10));
	control = map_new(sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED);
	storm_world_build(&worlds[0], o, 0, slot_take(), true);
	if (o->races)
		pids[n++] = behave_fork(exec_child, (void *)(uintptr_t)slot_take());
	for (unsigned int i = 1; i < o->tasks; i++)
		pids[n++] = bear(&worlds[0], task);
	task(&worlds[0]);
	while (n)
		behave_join(pids[--n]);
}
