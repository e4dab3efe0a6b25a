/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX timers: what the tests call; see ptimer.c. */
#pragma once

#include "task/part.h"

/*
 * The timers of a /proc/PID/timers text, by rising id. `tid` of a SIGEV_THREAD_ID timer is as
 * torpor sees it, 0 if that thread is gone. `left` and `overrun` aren't in it.
 */
MUST_USE int ptimer_parse(const char *text, struct arena *a, struct ptimer **ret, size_t *ret_n,
			  struct err *err);
