/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that has reached the limit of its address space, for good (the hard limit, too):
 * nothing can be mapped into it. That is refused by name, and it goes on.
 */
#include "behave.h"

#include <sys/resource.h>

BEHAVE("RLIMIT_AS is reached: refused", .modes = PLAIN, .refused = "RLIMIT_AS")
{
	SYS(setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, 1 << 20}));
	FREEZE();
}
