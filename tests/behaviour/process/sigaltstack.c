/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alternate signal stacks: in use while a handler runs on it, disabled, and disarmed for the time
 * of a handler (SS_AUTODISARM: the kernel puts it back from the signal frame).
 */
#include "behave.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

enum { SIZE = 64 * 1024 };

static _Atomic int set_up;
static __thread char *stack;
static __thread int flags_inside;
static __thread bool was_inside;

static void check_flags(const char *where, int want)
{
	stack_t now;

	SYS(sigaltstack(NULL, &now));
	CHECK(now.ss_flags == want, "%s: flags are %#x, not %#x", where, now.ss_flags, want);
	if (want != SS_DISABLE)
		CHECK(now.ss_sp == stack && now.ss_size == SIZE, "%s: another stack", where);
}

/* Frozen in here. */
static void handler(int nr, siginfo_t *info, void *context)
{
	char here;

	CHECK(&here > stack && &here < stack + SIZE, "the handler isn't on its stack");
	check_flags("in the handler", flags_inside);
	set_up++;
	behave_await_go();
	check_flags("in the handler, after", flags_inside);
	CHECK_EQ(info->si_signo, nr);
	was_inside = true;
}

/* Sets one with the flags, is frozen within a handler on it, and looks again after it. */
static void *inside(void *arg)
{
	const int flags = (int)(intptr_t)arg;

	stack = malloc(SIZE);
	flags_inside = flags ? SS_DISABLE : SS_ONSTACK;
	SYS(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = SIZE, .ss_flags = flags}, NULL));
	MUST(pthread_kill(pthread_self(), SIGUSR1) == 0);
	CHECK(was_inside, "the handler didn't return");
	check_flags("after the handler", flags);
	return NULL;
}

static void *outside(void *arg)
{
	const int flags = (int)(intptr_t)arg;

	stack = malloc(SIZE);
	SYS(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = SIZE, .ss_flags = flags}, NULL));
	set_up++;
	behave_await_go();
	check_flags("unused", flags);
	if (flags == SS_DISABLE)
		return NULL;
	flags_inside = flags ? SS_DISABLE : SS_ONSTACK;
	MUST(pthread_kill(pthread_self(), SIGUSR1) == 0);
	CHECK(was_inside, "the handler wasn't called");
	return NULL;
}

BEHAVE("alternate signal stacks, in use and not")
{
	static const struct {
		void *(*body)(void *);
		unsigned int flags;
	} jobs[] = {{inside, 0},
		    {inside, SS_AUTODISARM},
		    {outside, 0},
		    {outside, SS_AUTODISARM},
		    {outside, SS_DISABLE}};
	pthread_t threads[5];

	SYS(sigaction(
		SIGUSR1,
		&(struct sigaction){.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK},
		NULL));
	for (int i = 0; i < 5; i++)
		threads[i] = behave_thread(jobs[i].body, (void *)(uintptr_t)jobs[i].flags);
	while (set_up < 5)
		behave_nap(1);
	FREEZE();
	for (int i = 0; i < 5; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
