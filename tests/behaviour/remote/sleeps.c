/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads asleep in nanosleep() and clock_nanosleep(), with and without room for the rest, for a
 * time and until a time: none sees an EINTR, none wakes early. A restart without room for the rest
 * takes the full time; one with it doesn't: they have slept most of their time before the dump.
 */
#include "blocked.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

enum { SLEEP_S = 4, BEFORE_MS = 3000, SLACK_S = 20 };
#define NS UINT64_C(1000000000)

static const struct timespec request = {.tv_sec = SLEEP_S};
static _Atomic uint64_t longest_with_rest; /* ns */

/* By each dump it may have been started anew, so that only the lower limit is sharp. */
static void check_slept(const struct blocked *b, uint64_t begin, long r)
{
	const uint64_t slept = behave_now() - begin;

	CHECK(r == 0, "%s: %ld, errno %d", b->name, r, errno);
	CHECK(slept >= SLEEP_S * NS, "%s slept only %.3f s", b->name, (double)slept / 1e9);
	CHECK(slept < (6 * SLEEP_S + SLACK_S) * NS, "%s slept %.3f s", b->name,
	      (double)slept / 1e9);
}

static void without_rest(struct blocked *b)
{
	uint64_t begin = behave_now();

	check_slept(b, begin, syscall(SYS_nanosleep, &request, NULL));
}

static void check_rested(const struct blocked *b, uint64_t begin, long r)
{
	const uint64_t slept = behave_now() - begin;

	check_slept(b, begin, r);
	if (slept > longest_with_rest)
		longest_with_rest = slept;
}

/* The rest says how long is still to go; that is what counts at the restart. */
static void with_rest(struct blocked *b)
{
	struct timespec rest = {77, 77};
	uint64_t begin = behave_now();

	check_rested(b, begin, syscall(SYS_nanosleep, &request, &rest));
}

static void in_place(struct blocked *b)
{
	struct timespec both = request;
	uint64_t begin = behave_now();

	check_rested(b, begin, syscall(SYS_nanosleep, &both, &both));
}

static void relative(struct blocked *b)
{
	uint64_t begin = behave_now();

	check_slept(b, begin, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &request, NULL));
}

static void relative_with_rest(struct blocked *b)
{
	struct timespec rest = {77, 77};
	uint64_t begin = behave_now();

	check_rested(b, begin, syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &request, &rest));
}

static void until(struct blocked *b, clockid_t clock)
{
	struct timespec deadline, now;
	long r;

	SYS(clock_gettime(clock, &deadline));
	deadline.tv_sec += SLEEP_S;
	r = syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &deadline, NULL);
	SYS(clock_gettime(clock, &now));
	CHECK(r == 0, "%s: %ld, errno %d", b->name, r, errno);
	CHECK(now.tv_sec > deadline.tv_sec ||
		      (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec),
	      "%s woke early", b->name);
	CHECK(now.tv_sec < deadline.tv_sec + SLACK_S, "%s woke late", b->name);
}

static void until_monotonic(struct blocked *b)
{
	until(b, CLOCK_MONOTONIC);
}

static void until_realtime(struct blocked *b)
{
	until(b, CLOCK_REALTIME);
}

BEHAVE("asleep in nanosleep and clock_nanosleep", .changes = "threads")
{
	static struct blocked jobs[] = {
		{"nanosleep", SYS_nanosleep, without_rest},
		{"nanosleep with rest", SYS_nanosleep, with_rest},
		{"nanosleep in place", SYS_nanosleep, in_place},
		{"clock_nanosleep", SYS_clock_nanosleep, relative},
		{"clock_nanosleep with rest", SYS_clock_nanosleep, relative_with_rest},
		{"clock_nanosleep until, monotonic", SYS_clock_nanosleep, until_monotonic},
		{"clock_nanosleep until, realtime", SYS_clock_nanosleep, until_realtime},
	};
	enum { N = sizeof(jobs) / sizeof(jobs[0]) };

	uint64_t frozen;

	blocked_start(jobs, N);
	behave_nap(BEFORE_MS);
	frozen = behave_now();
	FREEZE();
	frozen = behave_now() - frozen;
	blocked_join(jobs, N);
	/* Anew would be BEFORE_MS more. */
	CHECK(longest_with_rest < SLEEP_S * NS + frozen + NS, "slept %.3f s, frozen for %.3f s",
	      (double)longest_with_rest / 1e9, (double)frozen / 1e9);
}
