/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that has more private writable memory than its (hard) limit allows: it may keep what
 * it has, but can't get any more. What the kernel doesn't count as data can still be mapped.
 */
#include "behave.h"

#include <sys/resource.h>

BEHAVE("RLIMIT_DATA is reached")
{
	struct rlimit limit = {4096, 4096};

	SYS(setrlimit(RLIMIT_DATA, &limit));
	FREEZE();
	SYS(getrlimit(RLIMIT_DATA, &limit));
	CHECK_EQ(limit.rlim_cur, 4096);
	CHECK_EQ(limit.rlim_max, 4096);
}
