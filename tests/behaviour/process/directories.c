/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Current directories of processes that went elsewhere, also to odd names.
 */
#include "behave.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_here(const char *dir)
{
	char here[PATH_MAX];
	struct stat one, other;

	MUST(getcwd(here, sizeof(here)));
	CHECK_STR(here, dir);
	SYS(stat(".", &one));
	SYS(stat(dir, &other));
	CHECK(one.st_ino == other.st_ino && one.st_dev == other.st_dev, "another directory");
}

static void child(void *arg)
{
	char dir[PATH_MAX];
	int fd;

	SYS(mkdir(arg, 0700));
	SYS(chdir(arg));
	MUST(getcwd(dir, sizeof(dir)));
	behave_child_ready();
	behave_await_go();
	check_here(dir);
	fd = SYS(open("made afterwards", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	SYS(close(fd));
	SYS(unlink("made afterwards"));
}

static void at_root(void *arg)
{
	SYS(chdir("/"));
	behave_child_ready();
	behave_await_go();
	check_here("/");
}

BEHAVE("current directories")
{
	static char plain[] = "sub", odd[] = "a b\n\\040%s (deleted)", unicode[] = "\xc3\xa4\xff";
	char dir[PATH_MAX];
	pid_t pids[4];

	pids[0] = behave_fork(child, plain);
	pids[1] = behave_fork(child, odd);
	pids[2] = behave_fork(child, unicode);
	pids[3] = behave_fork(at_root, NULL);
	behave_await_children(4);
	snprintf(dir, sizeof(dir), "%s", behave_dir());
	FREEZE();
	check_here(dir);
	for (int i = 0; i < 4; i++)
		behave_join(pids[i]);
}
