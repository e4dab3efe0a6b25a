/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vfork in progress: the parent sleeps in the kernel until its child calls exec, a second
 * later. It shares its memory with the child until then, so that a dump has to wait for it.
 */
#include "behave.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void nap_then_exec(void)
{
	behave_child_ready();
	behave_nap(1000);
	execl("/bin/sleep", "sleep", "1000", NULL);
	_exit(1);
}

static void parent(void *arg)
{
	int status = -1;
	pid_t pid = SYS(vfork());

	if (pid == 0)
		nap_then_exec();
	behave_await_go();
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	SYS(kill(pid, SIGTERM));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGTERM);
}

BEHAVE("a vfork in progress: the dump waits for the exec", .modes = PLAIN | LEAVE_RUNNING,
       .changes = "all")
{
	pid_t pid = behave_fork(parent, NULL);

	behave_await_children(1);
	FREEZE();
	behave_join(pid);
}
