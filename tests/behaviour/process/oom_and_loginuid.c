/* SPDX-License-Identifier: Apache-2.0 */
/* oom_score_adj of processes, and the login uid that audit goes by. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void oom(void *arg)
{
	const char *adj = arg;

	MUST(put("/proc/self/oom_score_adj", adj));
	behave_child_ready();
	behave_await_go();
	CHECK_STR(behave_read("/proc/self/oom_score_adj"), adj);
}

/* Whether it can be set depends on the kernel; what it is must stay in any case. */
static void login(void *arg)
{
	const char *before;

	if (access("/proc/self/loginuid", F_OK) < 0) {
		behave_child_ready();
		return behave_await_go();
	}
	put("/proc/self/loginuid", "1234");
	before = behave_read("/proc/self/loginuid");
	behave_child_ready();
	behave_await_go();
	CHECK_STR(behave_read("/proc/self/loginuid"), before);
}

BEHAVE("oom_score_adj and loginuid")
{
	static char high[] = "500\n", higher[] = "1000\n";
	pid_t pids[3];

	pids[0] = behave_fork(oom, high);
	pids[1] = behave_fork(oom, higher);
	pids[2] = behave_fork(login, NULL);
	behave_await_children(3);
	FREEZE();
	CHECK_STR(behave_read("/proc/self/oom_score_adj"), "0\n");
	for (int i = 0; i < 3; i++)
		behave_join(pids[i]);
}
