/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd: counter, semaphore mode, nonblocking, shared with a child that waits in a read. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int shared, semaphore;

static void child(void *unused)
{
	eventfd_t n = 0;

	behave_child_ready();
	CHECK(eventfd_read(shared, &n) == 0, "eventfd_read: %m");
	CHECK_EQ(n, 12);
	CHECK(eventfd_write(semaphore, 5) == 0, "eventfd_write: %m");
}

BEHAVE("eventfds")
{
	int counter = SYS(eventfd(41, EFD_CLOEXEC)), empty = SYS(eventfd(0, EFD_NONBLOCK));
	int huge = SYS(eventfd(0, EFD_NONBLOCK));
	eventfd_t n = 0;
	pid_t pid;

	shared = SYS(eventfd(0, 0));
	semaphore = SYS(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
	MUST(eventfd_write(huge, 0xfffffffffffffffeul) == 0);
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	behave_nap(20);
	FREEZE();
	CHECK_EQ(fcntl(counter, F_GETFD), FD_CLOEXEC);
	CHECK(eventfd_read(counter, &n) == 0, "eventfd_read: %m");
	CHECK_EQ(n, 41);
	CHECK(eventfd_read(empty, &n) < 0 && errno == EAGAIN, "an empty one: %m");
	CHECK(eventfd_write(huge, 1) < 0 && errno == EAGAIN, "a full one: %m");
	CHECK(eventfd_read(huge, &n) == 0 && n == 0xfffffffffffffffeul, "the highest count");
	CHECK(eventfd_write(shared, 12) == 0, "eventfd_write: %m");
	behave_join(pid);
	for (int i = 0; i < 7; i++) {
		CHECK(eventfd_read(semaphore, &n) == 0, "the semaphore, %d: %m", i);
		CHECK_EQ(n, 1);
	}
	CHECK(eventfd_read(semaphore, &n) < 0 && errno == EAGAIN, "the semaphore counts too far");
}
