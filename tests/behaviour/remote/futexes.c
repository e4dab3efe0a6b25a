/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads asleep on futexes: for a time, until a time, for as long as it takes, on one that hands
 * priority on. No EINTR, no wake-up without a reason.
 */
#include "blocked.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

enum { TIMEOUT_S = 2 };

static uint32_t never, timed, woken = 1, pi_word;

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *time,
		  uint32_t bits)
{
	return syscall(SYS_futex, word, op, value, time, NULL, bits);
}

static void for_a_time(struct blocked *b)
{
	const struct timespec time = {.tv_sec = TIMEOUT_S};
	uint64_t begin = behave_now(), ms;
	long r = futex(&timed, FUTEX_WAIT_PRIVATE, 0, &time, 0);

	ms = (behave_now() - begin) / 1000000;
	CHECK(r < 0 && errno == ETIMEDOUT, "FUTEX_WAIT: %ld, errno %d", r, errno);
	CHECK(ms >= TIMEOUT_S * 1000, "FUTEX_WAIT for %lu ms", (unsigned long)ms);
	CHECK(ms < TIMEOUT_S * 20000, "FUTEX_WAIT for %lu ms", (unsigned long)ms);
}

static void until(struct blocked *b)
{
	struct timespec deadline, now;
	long r;

	SYS(clock_gettime(CLOCK_MONOTONIC, &deadline));
	deadline.tv_sec += TIMEOUT_S;
	r = futex(&timed, FUTEX_WAIT_BITSET, 0, &deadline, FUTEX_BITSET_MATCH_ANY);
	SYS(clock_gettime(CLOCK_MONOTONIC, &now));
	CHECK(r < 0 && errno == ETIMEDOUT, "FUTEX_WAIT_BITSET: %ld, errno %d", r, errno);
	CHECK(now.tv_sec > deadline.tv_sec ||
		      (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec),
	      "FUTEX_WAIT_BITSET came back early");
	CHECK(now.tv_sec < deadline.tv_sec + 20, "FUTEX_WAIT_BITSET came back late");
}

static void until_woken(struct blocked *b)
{
	long r = futex(&woken, FUTEX_WAIT_PRIVATE, 1, NULL, 0);

	CHECK(r == 0, "FUTEX_WAIT without timeout: %ld, errno %d", r, errno);
}

static void with_priority(struct blocked *b)
{
	long r = futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, 0);

	CHECK(r == 0, "FUTEX_LOCK_PI: %ld, errno %d", r, errno);
	CHECK_EQ(pi_word & FUTEX_TID_MASK, gettid());
	SYS(futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, 0));
}

BEHAVE("asleep on futexes", .changes = "threads")
{
	static struct blocked jobs[] = {
		{"FUTEX_WAIT without timeout", SYS_futex, until_woken},
		{"FUTEX_LOCK_PI", SYS_futex, with_priority},
		{"FUTEX_WAIT", SYS_futex, for_a_time},
		{"FUTEX_WAIT_BITSET", SYS_futex, until},
	};

	SYS(futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, 0));
	blocked_start(jobs, 4);
	FREEZE();
	blocked_check_still(jobs, 2);
	CHECK_EQ(futex(&never, FUTEX_WAKE_PRIVATE, 1, NULL, 0), 0);
	CHECK_EQ(futex(&woken, FUTEX_WAKE_PRIVATE, 10, NULL, 0), 1);
	SYS(futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, 0));
	blocked_join(jobs, 4);
	CHECK_EQ(pi_word, 0);
}
