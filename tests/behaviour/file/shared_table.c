/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor table shared by processes (CLONE_FILES) is one table after a restore, too. */
#include "behave.h"
#include "stage.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic int *stage;
static _Atomic int *child_fd;

static void child(void)
{
	stage_ready(stage);
	*child_fd = open("second", O_CREAT | O_RDWR, 0644);
	CHECK(*child_fd >= 0, "open: %m");
	CHECK(fcntl(60, F_GETFD) == -1, "the child doesn't see that 60 was closed");
	_exit(behave_status());
}

BEHAVE("a descriptor table shared by two processes")
{
	int file = SYS(open("first", O_CREAT | O_RDWR, 0644));
	pid_t pid;

	stage = stage_new();
	child_fd = stage_new();
	MUST(lseek(file, 11, SEEK_SET) == 11 && dup2(file, 60) == 60);
	pid = (pid_t)SYS(syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0));
	if (pid == 0)
		child();
	behave_await_children(1);
	FREEZE();
	CHECK_EQ(lseek(60, 0, SEEK_CUR), 11);
	close(60);
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(*child_fd > 0 && fcntl(*child_fd, F_GETFD) >= 0,
	      "what the child has opened isn't open here");
}
