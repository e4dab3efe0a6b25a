/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zombies: exit codes, deaths by signal, and what wait tells about each, in the order in which
 * they were born. Their parent's handler for SIGCHLD must not hear of them a second time.
 */
#include "behave.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGRTMIN_NR = 37 }; /* SIGRTMIN is a function call */

static const struct {
	int code, signal;
	bool own_session;
} deaths[] = {
	{.code = 0},
	{.code = 7},
	{.code = 255, .own_session = true},
	{.signal = SIGKILL},
	{.signal = SIGTERM},
	{.signal = SIGSEGV},
	{.signal = SIGABRT, .own_session = true},
	{.signal = SIGHUP},
	{.signal = SIGRTMIN_NR},
};
enum { DEATHS = sizeof(deaths) / sizeof(deaths[0]) };

static volatile sig_atomic_t heard;

static void on_child(int nr)
{
	heard++;
}

static void die(int code, int nr, bool own_session)
{
	const struct sigaction deadly = {.sa_handler = SIG_DFL};

	if (own_session)
		SYS(setsid());
	if (!nr)
		_exit(code);
	if (nr != SIGKILL)
		SYS(sigaction(nr, &deadly, NULL)); /* nohup ignores SIGHUP */
	kill(getpid(), nr);
	_exit(99);
}

static void await_zombie(pid_t pid)
{
	siginfo_t info;

	SYS(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
}

static void make_zombies(pid_t *pids)
{
	const struct rlimit no_core = {0, 0};

	SYS(setrlimit(RLIMIT_CORE, &no_core));
	for (int i = 0; i < DEATHS; i++) {
		pids[i] = SYS(fork());
		if (pids[i] == 0)
			die(deaths[i].code, deaths[i].signal, deaths[i].own_session);
		while (heard <= i)
			behave_nap(1); /* one SIGCHLD at a time can be pending */
		await_zombie(pids[i]);
	}
}

static void check_zombies(const pid_t *pids)
{
	for (int i = 0; i < DEATHS; i++) {
		const int nr = deaths[i].signal;
		siginfo_t info;
		int status;

		memset(&info, 0, sizeof(info));
		CHECK_EQ(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT), 0);
		CHECK_EQ(info.si_pid, pids[i]);
		CHECK_EQ(info.si_uid, getuid());
		CHECK_EQ(info.si_code, nr ? CLD_KILLED : CLD_EXITED);
		CHECK_EQ(info.si_status, nr ? nr : deaths[i].code);
		status = -1;
		CHECK_EQ(waitpid(-1, &status, 0), pids[i]); /* the eldest first */
		CHECK_EQ(WIFSIGNALED(status), nr != 0);
		CHECK_EQ(status, nr ? nr : deaths[i].code << 8);
	}
	CHECK(waitpid(-1, NULL, 0) < 0 && errno == ECHILD, "one more child");
}

/* The same, one level down. */
static void parent_of_zombies(void *arg)
{
	pid_t pids[DEATHS];
	int before;

	heard = 0;
	make_zombies(pids);
	before = heard;
	behave_child_ready();
	behave_await_go();
	CHECK_EQ(heard, before);
	check_zombies(pids);
}

BEHAVE("zombies: exit codes, signals, order")
{
	pid_t pids[DEATHS], child;
	int before;

	SYS(sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child}, NULL));
	make_zombies(pids);
	before = heard;
	child = behave_fork(parent_of_zombies, NULL);
	behave_await_children(1);
	FREEZE();
	/* The child of ours that lives may have ended meanwhile. */
	CHECK(heard <= before + 1, "%d times SIGCHLD instead of %d", heard, before);
	CHECK_EQ(SYS(waitpid(child, NULL, 0)), child);
	check_zombies(pids);
}
