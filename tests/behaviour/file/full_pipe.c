/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child blocked in a write to a full pipe, another in a read of an empty one: both go on.
 * A write that is blocked half-way ends with what it has written when its task is stopped, by
 * whomever (pipe_write() in the kernel): the writer has to be ready for that, as with any signal.
 */
#include "behave.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SIZE = 64 << 10, LEN = 3 * SIZE };
static int full[2], empty[2];

static void writer(void *unused)
{
	static unsigned char data[LEN];

	for (int i = 0; i < LEN; i++)
		data[i] = (unsigned char)(i / 256 + i);
	close(full[0]);
	behave_child_ready();
	for (ssize_t n, done = 0; done < LEN; done += n) {
		n = write(full[1], data + done, (size_t)(LEN - done));
		CHECK(n > 0, "write: %m");
		if (n <= 0)
			break;
	}
}

static void reader(void *unused)
{
	char buf[16] = "";

	behave_child_ready();
	CHECK_EQ(read(empty[0], buf, 15), 5);
	CHECK_STR(buf, "hello");
}

BEHAVE("blocked on a full pipe and on an empty one")
{
	int got = 0, bad = 0, waiting = 0;
	pid_t pids[2];

	MUST(pipe(full) == 0 && pipe(empty) == 0 && fcntl(full[0], F_SETPIPE_SZ, SIZE) == SIZE);
	pids[0] = behave_fork(writer, NULL);
	pids[1] = behave_fork(reader, NULL);
	close(full[1]);
	behave_await_children(2);
	while (waiting < SIZE)
		MUST(ioctl(full[0], FIONREAD, &waiting) == 0);
	behave_nap(20);
	FREEZE();
	CHECK(write(empty[1], "hello", 5) == 5, "write: %m");
	for (;;) {
		unsigned char buf[1000];
		ssize_t n = read(full[0], buf, sizeof(buf));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++, got++)
			bad += buf[i] != (unsigned char)(got / 256 + got);
	}
	CHECK_EQ(got, LEN);
	CHECK_EQ(bad, 0);
	behave_join(pids[0]);
	behave_join(pids[1]);
}
