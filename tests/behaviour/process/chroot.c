/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another root directory, of a child and of the whole tree: what its paths mean, and a current
 * directory outside of the root. A process in there can't see the runner's "go": a signal says it.
 */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void make(const char *path)
{
	int fd = SYS(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

	SYS(close(fd));
}

static void await_signal(void)
{
	sigset_t set;
	int nr;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	MUST(sigwait(&set, &nr) == 0);
}

/* Its current directory stays outside. */
static void child(void *arg)
{
	SYS(chroot("inner"));
	make("/ready");
	await_signal();
	CHECK_EQ(access("/marker", F_OK), 0);
	CHECK(access("/outer-marker", F_OK) < 0, "the root isn't the inner one");
	CHECK_EQ(access("outer-marker", F_OK), 0);
	SYS(chdir("/"));
	SYS(chdir(".."));
	CHECK_EQ(access("marker", F_OK), 0);
}

/* Outside of all that: tells the runner when the root of the tree has changed its root. */
static void announcer(void *arg)
{
	char path[64], where[16];

	snprintf(path, sizeof(path), "/proc/%d/root", getppid());
	while (readlink(path, where, sizeof(where)) == 1)
		behave_nap(1);
	behave_ready();
	behave_await_go();
}

static void check_tree_root(void)
{
	CHECK_EQ(access("/outer-marker", F_OK), 0);
	CHECK_EQ(access("/inner/marker", F_OK), 0);
	CHECK(access("/etc", F_OK) < 0, "the root is the machine's");
}

BEHAVE("another root directory", .go_signal = SIGUSR2)
{
	pid_t pid, other;
	sigset_t set;
	int way_back;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	SYS(sigprocmask(SIG_BLOCK, &set, NULL));
	SYS(mkdir("outer", 0755));
	SYS(mkdir("outer/inner", 0755));
	make("outer/outer-marker");
	make("outer/inner/marker");
	way_back = SYS(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	SYS(chdir("outer"));
	pid = behave_fork(child, NULL);
	while (access("inner/ready", F_OK) < 0)
		behave_nap(1);
	other = behave_fork(announcer, NULL);
	SYS(chroot("."));
	await_signal();
	check_tree_root();
	SYS(kill(pid, SIGUSR2));
	SYS(fchdir(way_back));
	SYS(chroot("."));
	behave_join(pid);
	behave_join(other);
}
