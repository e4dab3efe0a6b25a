/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interval timers: remaining time and interval of all three, per process; those that are off stay
 * off; and they go off when their time has come. Time that passes between dump and restore doesn't
 * count.
 */
#include "behave.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks, virtual_ticks;

static void on_tick(int nr)
{
	if (nr == SIGALRM)
		ticks++;
	else
		virtual_ticks++;
}

static void check_timer(int which, const struct itimerval *want)
{
	struct itimerval now;

	SYS(getitimer(which, &now));
	CHECK_EQ(now.it_interval.tv_sec, want->it_interval.tv_sec);
	CHECK_EQ(now.it_interval.tv_usec, want->it_interval.tv_usec);
	CHECK(now.it_value.tv_sec <= want->it_value.tv_sec &&
		      now.it_value.tv_sec >= want->it_value.tv_sec - 30,
	      "timer %d: %ld.%06ld s left of %ld s", which, (long)now.it_value.tv_sec,
	      (long)now.it_value.tv_usec, (long)want->it_value.tv_sec);
	CHECK(want->it_value.tv_sec == 0 || now.it_value.tv_sec > 0 || now.it_value.tv_usec > 0,
	      "timer %d is off", which);
}

/* Long ones: nothing happens, the values can be compared. */
static void all_set(void *arg)
{
	static const struct itimerval real = {{7, 123456}, {1000, 0}},
				      virtual = {{3, 999999}, {500, 1}}, prof = {{0, 0}, {250, 0}};

	SYS(setitimer(ITIMER_REAL, &real, NULL));
	SYS(setitimer(ITIMER_VIRTUAL, &virtual, NULL));
	SYS(setitimer(ITIMER_PROF, &prof, NULL));
	behave_child_ready();
	behave_await_go();
	check_timer(ITIMER_REAL, &real);
	check_timer(ITIMER_VIRTUAL, &virtual);
	check_timer(ITIMER_PROF, &prof);
}

/* The last tick of CPU time is still to come: it needs 200 ms of computing after the restore. */
static void computing(void *arg)
{
	static const struct itimerval in_200ms = {{0, 0}, {0, 200000}};
	clock_t begin;

	SYS(sigaction(SIGVTALRM, &(struct sigaction){.sa_handler = on_tick}, NULL));
	SYS(setitimer(ITIMER_VIRTUAL, &in_200ms, NULL));
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(virtual_ticks, 0);
	begin = clock();
	while (!virtual_ticks && clock() - begin < 10 * CLOCKS_PER_SEC)
		;
	CHECK_EQ(virtual_ticks, 1);
	CHECK(clock() - begin > CLOCKS_PER_SEC / 20, "went off after %ld us", clock() - begin);
	check_timer(ITIMER_VIRTUAL, &(struct itimerval){0});
}

static void all_off(void *arg)
{
	behave_child_ready();
	behave_await_go();
	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++)
		check_timer(which, &(struct itimerval){0});
}

BEHAVE("interval timers: remaining time, interval, going off", .changes = "signals")
{
	static void (*const bodies[])(void *) = {all_set, computing, all_off};
	pid_t pids[3];
	int before;

	for (int i = 0; i < 3; i++)
		pids[i] = behave_fork(bodies[i], NULL);
	behave_await_children(3);
	SYS(sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_tick, .sa_flags = SA_RESTART},
		      NULL));
	SYS(setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL));
	while (!ticks)
		behave_nap(1);
	FREEZE();
	before = ticks;
	for (int i = 0; i < 1000 && ticks < before + 5; i++)
		behave_nap(10);
	CHECK(ticks >= before + 5, "the timer has died");
	check_timer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}});
	SYS(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
	for (int i = 0; i < 3; i++)
		behave_join(pids[i]);
}
