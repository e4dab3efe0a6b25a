/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags of an address space that have calls of their own: transparent huge pages turned off, and
 * the registrations for membarrier(2), without which its expedited commands fail.
 */
#include "behave.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_GET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#define PR_GET_THP_DISABLE 42
#endif

enum { GET_REGISTRATIONS = 1 << 9 }; /* MEMBARRIER_CMD_GET_REGISTRATIONS, Linux 6.3 */

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

static void check_allowed(int command, bool allowed)
{
	int r = membarrier(command), error = errno;

	if (allowed)
		CHECK_EQ(r, 0);
	else
		CHECK(r < 0 && error == EPERM, "membarrier(%#x) without registration: %d", command,
		      r);
}

static void registered(void *arg)
{
	SYS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	SYS(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	SYS(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE));
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	check_allowed(MEMBARRIER_CMD_PRIVATE_EXPEDITED, true);
	check_allowed(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, true);
	check_allowed(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, false);
}

static void unregistered(void *arg)
{
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
	check_allowed(MEMBARRIER_CMD_PRIVATE_EXPEDITED, false);
	check_allowed(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, false);
}

static void global(void *arg)
{
	int before;

	SYS(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
	SYS(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ));
	before = membarrier(GET_REGISTRATIONS);
	behave_child_ready();
	behave_await_go();
	check_allowed(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, true);
	/* The global one shows nowhere else. */
	CHECK_EQ(membarrier(GET_REGISTRATIONS), before);
}

BEHAVE("huge pages turned off, membarrier registrations")
{
	static void (*const bodies[])(void *) = {registered, unregistered, global};
	pid_t pids[3];

	if (membarrier(MEMBARRIER_CMD_QUERY) < 0)
		behave_skip("the kernel has no membarrier");
	for (int i = 0; i < 3; i++)
		pids[i] = behave_fork(bodies[i], NULL);
	behave_await_children(3);
	FREEZE();
	for (int i = 0; i < 3; i++)
		behave_join(pids[i]);
}
