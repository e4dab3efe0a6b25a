/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stop that the parent has been told of is not reported again (a shell would print a second
 * "Stopped"), and the parent's handler for SIGCHLD isn't called for it.
 */
#include "behave.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t heard;

static void on_child(int nr)
{
	heard++;
}

static void stop(void *arg)
{
	SYS(raise(SIGSTOP));
}

BEHAVE("a stop that was waited for isn't reported twice")
{
	int status = -1;
	pid_t pid;

	SYS(sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child, .sa_flags = SA_RESTART},
		      NULL));
	pid = behave_fork(stop, NULL);
	while (heard < 1)
		behave_nap(1);
	CHECK_EQ(SYS(waitpid(pid, &status, WUNTRACED)), pid);
	CHECK_EQ(status, SIGSTOP << 8 | 0x7f);
	FREEZE();
	CHECK_EQ(heard, 1);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	SYS(kill(pid, SIGCONT));
	do {
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	} while (status == 0xffff);
	CHECK_EQ(status, 0);
}
