/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and process groups: of their own, inherited, joined, and such whose leader is gone or
 * whose leader is a zombie. The kernel keeps such a number in use as long as somebody is in the
 * group, so a restore has to have the leader come and go again.
 */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned int members;

/* Stays in what it was born into, or has put itself into. */
static void stay(void)
{
	pid_t sid = getsid(0), pgid = getpgid(0), ppid = getppid();

	behave_child_ready();
	behave_await_go();
	CHECK_EQ(getsid(0), sid);
	CHECK_EQ(getpgid(0), pgid);
	CHECK_EQ(getppid(), ppid);
	while (waitpid(-1, NULL, 0) > 0)
		; /* those still check who their parent is */
	_exit(behave_status());
}

static pid_t spawn(void (*set_up)(void))
{
	pid_t pid = SYS(fork());

	members++;
	if (pid == 0) {
		if (set_up)
			set_up();
		stay();
	}
	return pid;
}

static void own_session(void)
{
	SYS(setsid());
	if (SYS(fork()) == 0)
		stay();
}

static void own_group(void)
{
	SYS(setpgid(0, 0));
}

/* Its first child stays behind in the session that it leaves. */
static void session_after_child(void)
{
	if (SYS(fork()) == 0)
		stay();
	SYS(setsid());
	if (SYS(fork()) == 0)
		stay();
}

/* Waits until its parent is gone: it has become a child of the test. */
static void stay_orphaned(pid_t parent)
{
	while (getppid() == parent)
		behave_nap(1);
	stay();
}

static void session_without_leader(void)
{
	pid_t leader;

	leader = SYS(setsid());
	if (SYS(fork()) == 0)
		stay_orphaned(leader);
	_exit(0);
}

/* A group within that session, whose leader is gone as well. */
static void session_and_group_without_leader(void)
{
	pid_t leader, group, member;

	leader = SYS(setsid());
	group = SYS(fork());
	if (group == 0) {
		SYS(setpgid(0, 0));
		behave_nap(60000);
		_exit(0);
	}
	while (getpgid(group) != group)
		behave_nap(1);
	member = SYS(fork());
	if (member == 0) {
		SYS(setpgid(0, group));
		stay_orphaned(leader);
	}
	while (getpgid(member) != group)
		behave_nap(1);
	SYS(kill(group, SIGKILL));
	SYS(waitpid(group, NULL, 0));
	_exit(0);
}

static void run_and_reap(void (*body)(void), unsigned int leaves)
{
	pid_t pid = SYS(fork());
	int status = -1;

	if (pid == 0)
		body();
	SYS(waitpid(pid, &status, 0));
	MUST(status == 0);
	members += leaves;
}

/* A group of the test's session: its leader is gone, or is a zombie. */
static pid_t group_without_leader(bool reap)
{
	pid_t leader = SYS(fork()), member;
	siginfo_t info;

	if (leader == 0) {
		behave_nap(60000);
		_exit(0);
	}
	SYS(setpgid(leader, leader));
	member = SYS(fork());
	members++;
	if (member == 0) {
		SYS(setpgid(0, leader));
		stay();
	}
	behave_await_children(members);
	SYS(kill(leader, SIGKILL));
	SYS(waitid(P_PID, (id_t)leader, &info, WEXITED | (reap ? 0 : WNOWAIT)));
	return leader;
}

BEHAVE("sessions and process groups, also without their leaders")
{
	pid_t self = getpid(), group, zombie;
	int status = -1, left = 0;

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	spawn(NULL);
	group = spawn(own_group);
	members++;
	if (SYS(fork()) == 0) {
		while (setpgid(0, group) < 0)
			behave_nap(1); /* it isn't a leader yet */
		stay();
	}
	spawn(own_session);
	spawn(session_after_child);
	members += 3;
	run_and_reap(session_without_leader, 1);
	run_and_reap(session_and_group_without_leader, 1);
	behave_await_children(members);
	group_without_leader(true);
	zombie = group_without_leader(false);
	FREEZE();
	CHECK_EQ(getsid(0), self);
	CHECK_EQ(getpgid(0), self);
	CHECK_EQ(waitpid(zombie, &status, 0), zombie);
	CHECK_EQ(status, SIGKILL);
	while (waitpid(-1, &status, 0) > 0) {
		left++;
		CHECK_EQ(status, 0);
	}
	CHECK_EQ(errno, ECHILD);
	CHECK(left >= (int)members - 3, "only %d of the children came back", left);
}
