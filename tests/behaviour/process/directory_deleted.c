/* SPDX-License-Identifier: Apache-2.0 */
/* A current directory that has been removed: no path leads to it, but the process is in it. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static void child(void *arg)
{
	char here[PATH_MAX];
	struct stat st;

	SYS(mkdir("gone", 0711));
	SYS(chdir("gone"));
	SYS(rmdir("../gone"));
	behave_child_ready();
	behave_await_go();
	CHECK(!getcwd(here, sizeof(here)) && errno == ENOENT, "the directory is back");
	SYS(stat(".", &st));
	CHECK_EQ(st.st_mode, S_IFDIR | 0711);
	CHECK_EQ(st.st_nlink, 0);
	CHECK(open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0 && errno == ENOENT,
	      "made a file in it");
}

BEHAVE("a current directory that was removed")
{
	pid_t pid = behave_fork(child, NULL);

	behave_await_children(1);
	FREEZE();
	behave_join(pid);
	CHECK(access("gone", F_OK) < 0, "it is there again");
}
