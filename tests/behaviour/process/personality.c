/* SPDX-License-Identifier: Apache-2.0 */
/* The execution domain's flags: what personality(2) says, and what it does. */
#include "behave.h"

#include <string.h>
#include <sys/personality.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { ASK = -1 };

static void child(void *arg)
{
	const unsigned long persona = (unsigned long)(uintptr_t)arg;
	struct utsname names;

	SYS(personality(persona));
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(personality((unsigned long)ASK), persona);
	SYS(uname(&names));
	CHECK_EQ(!strncmp(names.release, "2.6.", 4), (persona & UNAME26) != 0);
}

BEHAVE("personality flags")
{
	static const unsigned long personas[] = {0, ADDR_NO_RANDOMIZE,
						 READ_IMPLIES_EXEC | ADDR_COMPAT_LAYOUT,
						 UNAME26 | STICKY_TIMEOUTS};
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = behave_fork(child, (void *)personas[i]);
	behave_await_children(4);
	SYS(personality(ADDR_NO_RANDOMIZE | WHOLE_SECONDS));
	FREEZE();
	CHECK_EQ(personality((unsigned long)ASK), ADDR_NO_RANDOMIZE | WHOLE_SECONDS);
	for (int i = 0; i < 4; i++)
		behave_join(pids[i]);
}
