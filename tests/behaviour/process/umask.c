/* SPDX-License-Identifier: Apache-2.0 */
/* The file mode creation mask, which threads share and a child has for itself. */
#include "behave.h"

#include <sys/stat.h>

static void child(void *arg)
{
	umask(0755);
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(umask(0), 0755);
}

BEHAVE("umask of a process and of its child")
{
	pid_t pid = behave_fork(child, NULL);

	umask(0123);
	behave_await_children(1);
	FREEZE();
	CHECK_EQ(umask(0), 0123);
	behave_join(pid);
}
