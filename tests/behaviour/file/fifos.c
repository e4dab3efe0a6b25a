/* SPDX-License-Identifier: Apache-2.0 */
/* Named pipes: both ends, one end, with data, deleted; and they are still the fifo of their name.
 */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_pair(const char *name, int *fds)
{
	MUST(mkfifo(name, 0640) == 0);
	fds[0] = SYS(open(name, O_RDONLY | O_NONBLOCK));
	fds[1] = SYS(open(name, O_WRONLY));
}

static void check_data(int fd, const char *want)
{
	char buf[64] = "";

	CHECK(read(fd, buf, sizeof(buf) - 1) >= 0, "read: %m");
	CHECK_STR(buf, want);
}

BEHAVE("fifos")
{
	int named[2], gone[2], one[2], both, again;

	signal(SIGPIPE, SIG_IGN);
	make_pair("named", named);
	make_pair("gone", gone);
	make_pair("one", one);
	close(one[1]);
	MUST(mkfifo("both", 0600) == 0);
	both = SYS(open("both", O_RDWR));
	MUST(write(named[1], "in the fifo", 11) == 11 && write(gone[1], "deleted", 7) == 7);
	MUST(write(both, "read and write", 14) == 14);
	MUST(unlink("gone") == 0);
	FREEZE();
	check_data(named[0], "in the fifo");
	check_data(gone[0], "deleted");
	check_data(both, "read and write");
	CHECK(fcntl(named[0], F_GETFL) & O_NONBLOCK, "O_NONBLOCK is lost");
	CHECK(read(named[0], &again, 1) < 0 && errno == EAGAIN, "an empty fifo with a writer: %m");
	CHECK(read(one[0], &again, 1) == 0, "a fifo without a writer");
	again = open("named", O_WRONLY | O_NONBLOCK);
	CHECK(again >= 0 && write(again, "by name", 7) == 7, "opening by name: %m");
	check_data(named[0], "by name");
	CHECK(write(gone[1], "on", 2) == 2, "write: %m");
	check_data(gone[0], "on");
	CHECK(access("gone", F_OK) < 0, "a deleted fifo has its name back");
	close(gone[0]);
	CHECK(write(gone[1], "x", 1) < 0 && errno == EPIPE, "another reader has appeared");
}
