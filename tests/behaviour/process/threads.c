/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: numbers, names, thread-local storage, blocked masks, alternate stacks, errno. */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { THREADS = 12 };

static const char *const names[THREADS] = {
	"one", "two", "a b", "()",	  ") S 1 (", "fifteen-letters", "\xc3\xa4\xc3\xb6",
	"",    "8",   "%s",  "tab\there", "last"};

static __thread long tls_zeroed;
static __thread char tls_text[32] = "initial";
static _Atomic int set_up;

static void check_stack(const stack_t *want)
{
	stack_t now;

	SYS(sigaltstack(NULL, &now));
	CHECK(now.ss_sp == want->ss_sp, "stack at %p, not %p", now.ss_sp, want->ss_sp);
	CHECK_EQ(now.ss_size, want->ss_size);
	CHECK_EQ(now.ss_flags, want->ss_flags);
}

static void *thread(void *arg)
{
	const intptr_t i = (intptr_t)arg;
	const pid_t tid = gettid();
	const pthread_t self = pthread_self();
	stack_t stack = {.ss_size = 16384 + 4096 * (size_t)i, .ss_flags = SS_DISABLE};
	sigset_t mask, now;
	char name[32] = "", text[32];

	SYS(prctl(PR_SET_NAME, names[i]));
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + (int)i);
	sigaddset(&mask, i % 2 ? SIGUSR1 : SIGWINCH);
	MUST(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
	if (i % 3 == 0) {
		stack.ss_sp = malloc(stack.ss_size);
		stack.ss_flags = 0;
	} else {
		stack.ss_size = 0;
	}
	SYS(sigaltstack(&stack, NULL));
	tls_zeroed = 1000 + i;
	snprintf(tls_text, sizeof(tls_text), "thread %ld", (long)i);
	snprintf(text, sizeof(text), "thread %ld", (long)i);
	errno = 100 + (int)i;
	set_up++;
	behave_await_go();

	CHECK_EQ(errno, 100 + i);
	CHECK_EQ(gettid(), tid);
	CHECK(pthread_equal(pthread_self(), self), "another pthread_self()");
	CHECK_EQ(tls_zeroed, 1000 + i);
	CHECK_STR(tls_text, text);
	SYS(prctl(PR_GET_NAME, name));
	CHECK_STR(name, names[i]);
	MUST(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
	for (int nr = 1; nr <= SIGRTMAX; nr++)
		CHECK(sigismember(&now, nr) == sigismember(&mask, nr), "thread %ld, signal %d",
		      (long)i, nr);
	check_stack(&stack);
	return (void *)(i * 3 + 1);
}

static void *late_thread(void *arg)
{
	return (void *)(intptr_t)gettid();
}

BEHAVE("threads: ids, names, storage, masks, alternate stacks")
{
	pthread_t threads[THREADS];
	void *result;

	for (intptr_t i = 0; i < THREADS; i++)
		threads[i] = behave_thread(thread, (void *)i);
	while (set_up < THREADS)
		behave_nap(1);
	FREEZE();
	for (intptr_t i = 0; i < THREADS; i++) {
		MUST(pthread_join(threads[i], &result) == 0);
		CHECK_EQ((intptr_t)result, i * 3 + 1);
	}
	MUST(pthread_join(behave_thread(late_thread, NULL), &result) == 0);
	CHECK((intptr_t)result != getpid() && (intptr_t)result > 0, "no new thread");
}
