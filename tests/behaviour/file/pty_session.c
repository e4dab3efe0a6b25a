/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with a terminal of its own, as script(1) or tmux make it: the leader and its child have
 * it as controlling terminal, the child's group is in the foreground and gets what is typed.
 */
#include "behave.h"
#include "pty.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char name[64];
static volatile sig_atomic_t interrupts;

static void on_interrupt(int sig)
{
	interrupts++;
}

/* In the foreground, in a group of its own. */
static void job(int tty)
{
	int own = SYS(open("/dev/tty", O_RDWR));
	char buf[16] = "";
	ssize_t n;

	signal(SIGINT, on_interrupt);
	behave_child_ready();
	behave_await_go();
	n = read(tty, buf, sizeof(buf) - 1); /* until a line is typed */
	CHECK(n == 3 && !strcmp(buf, "ab\n"), "the job reads %zd: \"%s\", %m", n, buf);
	CHECK_EQ(tcgetpgrp(own), getpid());
	CHECK_EQ(tcgetpgrp(tty), getpid());
	CHECK_EQ(tcgetsid(own), getppid());
	MUST(write(own, "ready", 5) == 5);
	for (int i = 0; i < 2000 && !interrupts; i++)
		behave_nap(1);
	CHECK_EQ(interrupts, 1);
	_exit(behave_status());
}

static void leader(void *unused)
{
	int tty, status = -1, ready[2];
	pid_t pid;

	MUST(setsid() == getpid() && pipe(ready) == 0);
	tty = SYS(open(name, O_RDWR)); /* takes it */
	signal(SIGTTOU, SIG_IGN);
	pid = SYS(fork());
	if (pid == 0) {
		char c;

		MUST(setpgid(0, 0) == 0 && read(ready[0], &c, 1) == 1);
		job(tty);
	}
	while (getpgid(pid) != pid)
		behave_nap(1);
	MUST(tcsetpgrp(tty, pid) == 0 && write(ready[1], "x", 1) == 1);
	behave_child_ready();
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(tcgetpgrp(tty), pid);
	CHECK_EQ(tcgetsid(tty), getpid());
}

/* Until the job has said that it read its line. */
static void wait_shown(int master)
{
	char buf[256] = "";
	size_t len = 0;

	for (int i = 0; i < 2000 && !strstr(buf, "ready"); i++) {
		ssize_t n = read(master, buf + len, sizeof(buf) - 1 - len);

		if (n > 0)
			len += (size_t)n;
		else
			behave_nap(1);
	}
	CHECK(strstr(buf, "ready"), "the terminal shows \"%s\"", buf);
}

BEHAVE("a session with a controlling terminal")
{
	int master = pty_open_master(O_RDWR | O_NOCTTY | O_NONBLOCK, name, sizeof(name));
	pid_t pid;

	pid = behave_fork(leader, NULL);
	behave_await_children(2);
	FREEZE();
	MUST(write(master, "ab\n", 3) == 3);
	wait_shown(master);
	MUST(write(master, "\3", 1) == 1);
	behave_join(pid);
}
