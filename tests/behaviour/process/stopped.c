/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopped processes stay stopped, by the signal that did it, and go on where they were at SIGCONT.
 * One has several threads. The parent hasn't asked for their stops yet: wait still reports them.
 */
#include "behave.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic unsigned int *ticks;

static void *count(void *arg)
{
	for (;;) {
		(*ticks)++;
		behave_nap(1);
	}
	return NULL;
}

static void stop(void *arg)
{
	int nr = (int)(intptr_t)arg;

	if (nr == SIGTSTP)
		behave_thread(count, NULL);
	/* SIGTSTP and its kin don't stop members of an orphaned group: in one of its own. */
	SYS(setpgid(0, 0));
	SYS(kill(getpid(), nr));
	CHECK(behave_go(), "went on before it was told to");
	_exit(behave_status() ? 1 : 40 + nr);
}

static char state_of(pid_t pid)
{
	char who[16];

	snprintf(who, sizeof(who), "%d", pid);
	return (char)behave_proc_stat(who, 3);
}

static void check_stopped(pid_t pid, int nr)
{
	siginfo_t info = {0};
	int status = -1;

	CHECK_EQ(state_of(pid), 'T');
	CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT), 0);
	CHECK_EQ(info.si_code, CLD_STOPPED);
	CHECK_EQ(info.si_status, nr);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), pid);
	CHECK_EQ(status, nr << 8 | 0x7f);
	SYS(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	/* Its end may come right after its going on. */
	if (status == 0xffff)
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, (40 + nr) << 8);
}

BEHAVE("stopped processes stay so, and go on at SIGCONT")
{
	static const int how[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
	pid_t pids[4];
	unsigned int before;

	ticks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(ticks != MAP_FAILED);
	for (int i = 0; i < 4; i++)
		pids[i] = behave_fork(stop, (void *)(intptr_t)how[i]);
	for (int i = 0; i < 4; i++) {
		while (state_of(pids[i]) != 'T')
			behave_nap(1);
	}
	before = *ticks;
	FREEZE();
	behave_nap(20);
	CHECK_EQ(*ticks, before);
	for (int i = 0; i < 4; i++)
		check_stopped(pids[i], how[i]);
}
