/* SPDX-License-Identifier: Apache-2.0 */
/* The root of the tree is stopped itself; a child of it is running and wakes it. */
#include "behave.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static pid_t root;

static char root_state(void)
{
	char who[16];

	snprintf(who, sizeof(who), "%d", root);
	return (char)behave_proc_stat(who, 3);
}

static void child(void *arg)
{
	SYS(kill(root, SIGSTOP));
	while (root_state() != 'T')
		behave_nap(1);
	behave_ready();
	behave_await_go();
	CHECK_EQ(root_state(), 'T');
	SYS(kill(root, SIGCONT));
}

BEHAVE("a stopped root of the tree")
{
	pid_t pid;

	root = getpid();
	pid = behave_fork(child, NULL);
	behave_await_go();
	behave_join(pid);
}
