/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent death signal: what was asked for, that it comes when the parent dies after the
 * restore, and only then.
 */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t heard;

static void on_death(int nr)
{
	heard = nr;
}

static void child(void *arg)
{
	const pid_t parent = getppid();
	int nr = 0;

	SYS(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_death}, NULL));
	SYS(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
	behave_child_ready();
	while (!behave_go()) {
		CHECK_EQ(heard, 0);
		behave_nap(2);
	}
	SYS(prctl(PR_GET_PDEATHSIG, &nr, 0, 0, 0));
	CHECK_EQ(nr, SIGUSR1);
	for (int i = 0; i < 2000 && !heard; i++)
		behave_nap(5);
	CHECK_EQ(heard, SIGUSR1);
	CHECK(getppid() != parent, "the parent is still there");
}

/* Lives until its child has had the time to see that nothing comes before. */
static void parent(void *arg)
{
	behave_fork(child, NULL);
	behave_child_ready();
	behave_await_go();
	behave_nap(50);
}

static void without(void *arg)
{
	int nr = -1;

	behave_child_ready();
	behave_await_go();
	SYS(prctl(PR_GET_PDEATHSIG, &nr, 0, 0, 0));
	CHECK_EQ(nr, 0);
}

BEHAVE("the parent death signal")
{
	pid_t one, other;
	int status = -1;

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); /* gets the orphan */
	one = behave_fork(parent, NULL);
	other = behave_fork(without, NULL);
	behave_await_children(3);
	FREEZE();
	behave_join(one);
	behave_join(other);
	CHECK(waitpid(-1, &status, 0) > 0, "no orphan");
	CHECK_EQ(status, 0);
}
