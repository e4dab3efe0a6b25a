/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread asleep in flock() on a file that somebody outside of the tree has locked: the lock is
 * none of ours, but the wait for it goes on, and ends when the other one lets go.
 */
#include "blocked.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int file;

static void in_flock(struct blocked *b)
{
	int r = flock(file, LOCK_EX);

	CHECK(r == 0, "flock: %d, errno %d", r, errno);
	CHECK(behave_go(), "flock came back too early");
	SYS(flock(file, LOCK_UN));
}

/* Nobody's child, in a session of its own: not dumped with us. */
static void lock_from_outside(void)
{
	pid_t pid = SYS(fork());
	int own;

	if (pid) {
		SYS(waitpid(pid, NULL, 0));
		return;
	}
	if (SYS(fork()))
		_exit(0);
	SYS(setsid());
	own = SYS(open("file", O_RDWR | O_CLOEXEC));
	SYS(flock(own, LOCK_EX));
	behave_child_ready();
	behave_await_go();
	behave_nap(50);
	_exit(0);
}

BEHAVE("asleep in flock")
{
	static struct blocked job = {"flock", SYS_flock, in_flock};

	file = SYS(open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	lock_from_outside();
	behave_await_children(1);
	blocked_start(&job, 1);
	FREEZE();
	blocked_join(&job, 1);
}
