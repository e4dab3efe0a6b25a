/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict seccomp: the child may only read, write, exit and return from signals. It waits in a
 * read, answers, and dies by the first other call.
 */
#include "behave.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int questions[2], answers[2];

static void child(void *arg)
{
	char c;

	SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
	for (;;) {
		if (read(questions[0], &c, 1) != 1 || c == 'q')
			syscall(SYS_exit, 5);
		if (c == 'x')
			syscall(SYS_getpid);
		c++;
		if (write(answers[1], &c, 1) != 1)
			syscall(SYS_exit, 6);
	}
}

static void check_talk(char question)
{
	char answer = 0;

	SYS(write(questions[1], &question, 1));
	CHECK_EQ(read(answers[0], &answer, 1), 1);
	CHECK_EQ(answer, question + 1);
}

static const char *mode_of(pid_t pid)
{
	char who[16];

	snprintf(who, sizeof(who), "%d", pid);
	return behave_proc_status(who, "Seccomp");
}

BEHAVE("strict seccomp", .not_in_userns = "freezing it takes CAP_SYS_ADMIN outside of namespaces")
{
	int status = -1;
	pid_t pid;

	SYS(pipe2(questions, O_CLOEXEC));
	SYS(pipe2(answers, O_CLOEXEC));
	pid = behave_fork(child, NULL);
	check_talk('a');
	CHECK_STR(mode_of(pid), "1");
	FREEZE();
	CHECK_STR(mode_of(pid), "1");
	check_talk('b');
	SYS(write(questions[1], "x", 1));
	CHECK_EQ(SYS(waitpid(pid, &status, 0)), pid);
	CHECK_EQ(status & ~0x80, SIGKILL);
}
