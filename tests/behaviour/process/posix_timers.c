/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX timers: their ids, with gaps where others were deleted, clocks, remaining times and
 * intervals; whom and how they notify; those that aren't armed; and that they go off.
 */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

/* The kernel's ids, which the C library hides. */
struct timer {
	clockid_t clock;
	int notify;
	time_t value_s, interval_s;
	long interval_ns;
	bool deleted;
	int id;
};

static struct timer timers[] = {
	{CLOCK_MONOTONIC, SIGEV_SIGNAL, 1000, 5, 5, .deleted = true},
	{CLOCK_MONOTONIC, SIGEV_SIGNAL, 1000, 5, 123456789},
	{CLOCK_REALTIME, SIGEV_NONE, 2000, 0, 0},
	{CLOCK_BOOTTIME, SIGEV_SIGNAL, 3000, 0, 1},
	{CLOCK_REALTIME, SIGEV_SIGNAL, 10, 0, 1, .deleted = true},
	{CLOCK_REALTIME, SIGEV_SIGNAL, 10, 0, 1, .deleted = true},
	{CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 400, 2, 0},
	{CLOCK_MONOTONIC, SIGEV_THREAD_ID, 5000, 100, 0},
	{CLOCK_MONOTONIC, SIGEV_SIGNAL, 0, 0, 0}, /* not armed */
	{CLOCK_TAI, SIGEV_SIGNAL, 600, 0, 0},
	{CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, 300, 1, 1},
};
enum { TIMERS = sizeof(timers) / sizeof(timers[0]) };

static pid_t notified;
static _Atomic int got_by_thread;

static int create(clockid_t clock, int notify, int nr, int value)
{
	struct sigevent event = {
		.sigev_notify = notify, .sigev_signo = nr, .sigev_value.sival_int = value};
	int id = -1;

	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = notified;
	SYS(syscall(SYS_timer_create, clock, &event, &id));
	return id;
}

static void set_time(int id, time_t s, long ns, time_t interval_s, long interval_ns)
{
	struct itimerspec spec = {{interval_s, interval_ns}, {s, ns}};

	SYS(syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

static void check_timer(const struct timer *t)
{
	struct itimerspec now = {0};

	if (t->deleted) {
		CHECK(syscall(SYS_timer_gettime, t->id, &now) < 0 && errno == EINVAL,
		      "timer %d is back", t->id);
		return;
	}
	CHECK_EQ(syscall(SYS_timer_gettime, t->id, &now), 0);
	CHECK_EQ(now.it_interval.tv_sec, t->interval_s);
	CHECK_EQ(now.it_interval.tv_nsec, t->interval_ns);
	CHECK(now.it_value.tv_sec <= t->value_s && now.it_value.tv_sec >= t->value_s - 30,
	      "timer %d: %ld s left of %ld", t->id, (long)now.it_value.tv_sec, (long)t->value_s);
	if (t->value_s == 0)
		CHECK_EQ(now.it_value.tv_nsec, 0);
}

/* Waits for signal nr in this thread, and says whether it is the one of that timer. */
static bool expect(int nr, int id, int value)
{
	siginfo_t info;
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, nr);
	do {
		got = sigtimedwait(&set, &info, &(struct timespec){.tv_sec = 20});
	} while (got < 0 && errno == EINTR);
	if (got != nr)
		return false;
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK_EQ(info.si_timerid, id);
	CHECK_EQ(info.si_value.sival_int, value);
	return true;
}

static void *thread(void *arg)
{
	notified = gettid();
	behave_await_go();
	got_by_thread = expect(SIGRTMIN + 1, *(int *)arg, 333) ? 1 : -1;
	return NULL;
}

static void create_all(void)
{
	for (int i = 0; i < TIMERS; i++) {
		struct timer *t = &timers[i];

		t->id = create(t->clock, t->notify, SIGRTMIN + 10, 10 + i);
		if (t->value_s)
			set_time(t->id, t->value_s, 0, t->interval_s, t->interval_ns);
	}
	for (int i = 0; i < TIMERS; i++) {
		if (timers[i].deleted)
			SYS(syscall(SYS_timer_delete, timers[i].id));
	}
}

BEHAVE("POSIX timers: ids, clocks, times, notification", .changes = "signals threads")
{
	int periodic, for_thread = 0, next;
	pthread_t other;
	sigset_t set;

	sigemptyset(&set);
	for (int nr = SIGRTMIN; nr <= SIGRTMIN + 10; nr++)
		sigaddset(&set, nr);
	SYS(sigprocmask(SIG_BLOCK, &set, NULL));
	other = behave_thread(thread, &for_thread);
	while (!notified)
		behave_nap(1);
	create_all();
	periodic = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 222);
	set_time(periodic, 0, 30000000, 0, 30000000);
	for_thread = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 1, 333);
	set_time(for_thread, 0, 900000000, 0, 0);
	FREEZE();
	for (int i = 0; i < TIMERS; i++)
		check_timer(&timers[i]);
	for (int i = 0; i < 3; i++)
		CHECK(expect(SIGRTMIN, periodic, 222), "the periodic timer has died");
	MUST(pthread_join(other, NULL) == 0);
	CHECK_EQ(got_by_thread, 1);
	next = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
	for (int i = 0; i < TIMERS; i++)
		CHECK(timers[i].deleted || timers[i].id != next, "id %d is given twice", next);
	for (int i = 0; i < TIMERS; i++) {
		if (!timers[i].deleted)
			CHECK_EQ(syscall(SYS_timer_delete, timers[i].id), 0);
	}
}
