/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done about each of the 64 signals: default, ignored, or a handler with its flags, mask
 * and restorer, as the kernel keeps them; and that handlers are called with what they asked for.
 */
#include "behave.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIGNALS = 64 };

/* The kernel's own struct, without the C library between. */
struct action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static volatile sig_atomic_t calls, value, depth, deepest;

static void get(int nr, struct action *action)
{
	memset(action, 0, sizeof(*action));
	SYS(syscall(SYS_rt_sigaction, nr, NULL, action, 8));
}

static void plain(int nr)
{
	calls++;
}

static void with_info(int nr, siginfo_t *info, void *context)
{
	calls++;
	value = info->si_value.sival_int;
}

/* SA_NODEFER: the signal may come again within its handler. */
static void nested(int nr)
{
	if (++depth > deepest)
		deepest = depth;
	if (depth < 3)
		raise(nr);
	depth--;
}

static bool can_change(int nr)
{
	return nr != SIGKILL && nr != SIGSTOP && nr != 32 && nr != 33; /* 32, 33: C library's */
}

/* A different one for each. */
static void set(int nr)
{
	static const int flags[] = {0,		SA_RESTART,   SA_NOCLDSTOP,	      SA_ONSTACK,
				    SA_NODEFER, SA_NOCLDWAIT, SA_RESTART | SA_ONSTACK};
	struct sigaction action = {.sa_flags = flags[nr % 7]};

	sigfillset(&action.sa_mask);
	sigdelset(&action.sa_mask, 1 + nr % 31);
	sigdelset(&action.sa_mask, 34 + nr % 30);
	if (nr % 5 == 0) {
		action.sa_handler = SIG_IGN;
	} else if (nr % 5 == 1) {
		action.sa_sigaction = with_info;
		action.sa_flags |= SA_SIGINFO;
	} else if (nr % 5 != 2) {
		action.sa_handler = plain;
	}
	SYS(sigaction(nr, &action, NULL));
}

static void check_calls(void)
{
	struct action now;
	sigset_t mask;

	calls = 0;
	SYS(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 4711}));
	CHECK_EQ(calls, 1);
	CHECK_EQ(value, 4711);
	raise(SIGRTMIN + 3);
	CHECK_EQ(deepest, 3);
	/* SA_RESETHAND: once. */
	raise(SIGUSR2);
	CHECK_EQ(calls, 2);
	get(SIGUSR2, &now);
	CHECK(!now.handler, "not reset");
	sigemptyset(&mask);
	SYS(sigprocmask(SIG_SETMASK, NULL, &mask));
	CHECK(!sigismember(&mask, SIGUSR2), "blocked after its handler");
}

BEHAVE("signal handlers of all 64 signals")
{
	struct action before[SIGNALS + 1], now;

	for (int nr = 1; nr <= SIGNALS; nr++) {
		if (can_change(nr))
			set(nr);
	}
	SYS(sigaction(SIGRTMIN + 2,
		      &(struct sigaction){.sa_sigaction = with_info, .sa_flags = SA_SIGINFO},
		      NULL));
	SYS(sigaction(SIGRTMIN + 3,
		      &(struct sigaction){.sa_handler = nested, .sa_flags = SA_NODEFER}, NULL));
	SYS(sigaction(SIGUSR2,
		      &(struct sigaction){.sa_handler = plain, .sa_flags = (int)SA_RESETHAND},
		      NULL));
	for (int nr = 1; nr <= SIGNALS; nr++)
		get(nr, &before[nr]);
	FREEZE();
	CHECK_EQ(calls, 0);
	for (int nr = 1; nr <= SIGNALS; nr++) {
		get(nr, &now);
		CHECK(!memcmp(&now, &before[nr], sizeof(now)),
		      "signal %d: handler %p flags %lx restorer %p mask %lx, "
		      "was %p %lx %p %lx",
		      nr, now.handler, now.flags, now.restorer, now.mask, before[nr].handler,
		      before[nr].flags, before[nr].restorer, before[nr].mask);
	}
	check_calls();
}
