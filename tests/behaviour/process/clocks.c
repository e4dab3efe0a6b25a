/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks don't go backwards, and those that are read through the vDSO agree with the kernel's.
 */
#include "behave.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME,
				   CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE};
enum { CLOCKS = sizeof(clocks) / sizeof(clocks[0]), MINUTE = 60 };

static double seconds(const struct timespec *t)
{
	return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

static double by_vdso(clockid_t clock)
{
	struct timespec now;

	SYS(clock_gettime(clock, &now));
	return seconds(&now);
}

static double by_kernel(clockid_t clock)
{
	struct timespec now;

	SYS(syscall(SYS_clock_gettime, clock, &now));
	return seconds(&now);
}

BEHAVE("clocks go on")
{
	double before[CLOCKS];

	for (int i = 0; i < CLOCKS; i++)
		before[i] = by_vdso(clocks[i]);
	FREEZE();
	for (int i = 0; i < CLOCKS; i++) {
		double first = by_kernel(clocks[i]), second = by_vdso(clocks[i]),
		       third = by_kernel(clocks[i]);

		CHECK(first >= before[i], "clock %d went back by %f s", clocks[i],
		      before[i] - first);
		CHECK(first < before[i] + MINUTE, "clock %d jumped by %f s", clocks[i],
		      first - before[i]);
		CHECK(first <= second && second <= third, "clock %d: vDSO %f, kernel %f to %f",
		      clocks[i], second, first, third);
	}
}
