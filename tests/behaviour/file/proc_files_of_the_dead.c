/* SPDX-License-Identifier: Apache-2.0 */
/* A file of /proc whose process has ended before the dump: open, and with nothing in it. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(void *unused)
{
	behave_child_ready();
	pause();
}

BEHAVE("a file of /proc of a process that has ended")
{
	char path[64], buf[64];
	pid_t pid = behave_fork(child, NULL);
	int fd;

	behave_await_children(1);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = SYS(open(path, O_RDONLY));
	MUST(kill(pid, 9) == 0 && waitpid(pid, NULL, 0) == pid);
	MUST(read(fd, buf, sizeof(buf)) < 0 && errno == ESRCH);
	FREEZE();
	CHECK(read(fd, buf, sizeof(buf)) < 0 && errno == ESRCH, "read: %m");
	CHECK(access(path, F_OK) < 0, "the process is back");
}
