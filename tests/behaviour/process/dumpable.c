/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May others look into the process? The flag is cleared on request and by a change of ids, and
 * can be set again after that; it decides about the owner of /proc/PID.
 */
#include "behave.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(int dumpable)
{
	CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), dumpable);
}

static void asked(void *arg)
{
	SYS(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	behave_child_ready();
	behave_await_go();
	check(0);
}

/* By a change of ids it becomes what fs.suid_dumpable says: 0, 1 or 2. */
static void changed(void *arg)
{
	int value;

	SYS(setresuid(1000, 1000, 1000));
	value = SYS(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	behave_child_ready();
	behave_await_go();
	check(value);
}

static void set_again(void *arg)
{
	struct stat st;

	SYS(setresuid(1000, 1000, 1000));
	SYS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	behave_child_ready();
	behave_await_go();
	check(1);
	SYS(stat("/proc/self/environ", &st));
	CHECK_EQ(st.st_uid, 1000);
}

BEHAVE("the dumpable flag")
{
	static void (*const bodies[])(void *) = {asked, changed, set_again};
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = behave_fork(bodies[i], NULL);
	behave_await_children(3);
	FREEZE();
	check(1);
	for (int i = 0; i < 3; i++)
		behave_join(pids[i]);
}
