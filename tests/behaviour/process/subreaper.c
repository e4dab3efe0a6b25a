/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child subreapers: orphans that were handed to one, and that it goes on being one, for tasks
 * that are born or orphaned after the restore, too.
 */
#include "behave.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_subreaper(void)
{
	int is = -1;

	SYS(prctl(PR_GET_CHILD_SUBREAPER, &is, 0, 0, 0));
	return is;
}

/* Becomes a child of `reaper`, checks that it stays one, and ends with the code. */
static void orphan(pid_t reaper, int code)
{
	while (getppid() != reaper)
		behave_nap(1);
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(getppid(), reaper);
	_exit(behave_status() ? 1 : code);
}

static void leave_orphan(pid_t reaper, int code)
{
	pid_t pid = SYS(fork());
	int status = -1;

	if (pid == 0) {
		if (SYS(fork()) == 0)
			orphan(reaper, code);
		_exit(0);
	}
	CHECK_EQ(SYS(waitpid(pid, &status, 0)), pid);
	CHECK_EQ(status, 0);
}

static void check_orphan(int code)
{
	int status = -1;

	CHECK(waitpid(-1, &status, 0) > 0, "the orphan didn't come");
	CHECK_EQ(status, code << 8);
}

static void inner(void *arg)
{
	CHECK_EQ(is_subreaper(), 0); /* not inherited */
	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	leave_orphan(getpid(), 21);
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(is_subreaper(), 1);
	check_orphan(21);
	leave_orphan(getpid(), 22);
	check_orphan(22);
}

/* Isn't one; what it leaves behind after the restore goes to the root. */
static void plain(void *arg)
{
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(is_subreaper(), 0);
	if (SYS(fork()) == 0)
		orphan(*(pid_t *)arg, 33);
}

BEHAVE("child subreapers and their orphans")
{
	pid_t self = getpid(), one, other;
	int status = -1;

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	leave_orphan(self, 11);
	one = behave_fork(inner, NULL);
	other = behave_fork(plain, &self);
	behave_await_children(4);
	FREEZE();
	CHECK_EQ(is_subreaper(), 1);
	behave_join(one);
	behave_join(other);
	for (int i = 0; i < 2; i++) {
		CHECK(waitpid(-1, &status, 0) > 0, "an orphan didn't come");
		CHECK(status == 11 << 8 || status == 33 << 8, "status 0x%x", status);
	}
}
