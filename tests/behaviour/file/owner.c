/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets the signal of a descriptor, and which: F_SETOWN, F_SETOWN_EX, F_SETSIG and O_ASYNC. */
#include "behave.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N = 4 };

static volatile sig_atomic_t last_fd = -1, last_signal;

static void on_io(int sig, siginfo_t *info, void *context)
{
	last_signal = sig;
	last_fd = info->si_fd;
}

static void check_delivery(const int *fds, int sig, const char *who)
{
	char byte = 1;

	last_fd = -1;
	CHECK(write(fds[1], &byte, 1) == 1, "write: %m");
	for (int i = 0; i < 200 && last_fd < 0; i++)
		behave_nap(1);
	CHECK(last_fd == fds[0] && last_signal == sig, "owner %s: got signal %d for fd %d", who,
	      last_signal, last_fd);
}

BEHAVE("owners and signals of descriptors")
{
	struct f_owner_ex wanted[N] = {{F_OWNER_PID, getpid()},
				       {F_OWNER_PGRP, getpgrp()},
				       {F_OWNER_TID, (pid_t)syscall(SYS_gettid)},
				       {F_OWNER_PID, 0}};
	struct sigaction sa = {.sa_sigaction = on_io, .sa_flags = SA_SIGINFO | SA_RESTART};
	static const char *const names[N] = {"process", "group", "thread", "none"};
	int signals[N] = {SIGRTMIN + 3, SIGUSR1, SIGRTMIN + 5, 0}, fds[N][2];

	for (int i = 0; i < N; i++) {
		if (signals[i])
			MUST(sigaction(signals[i], &sa, NULL) == 0);
		MUST(pipe2(fds[i], O_NONBLOCK) == 0);
		if (wanted[i].pid)
			MUST(fcntl(fds[i][0], F_SETOWN_EX, &wanted[i]) == 0);
		MUST(fcntl(fds[i][0], F_SETSIG, signals[i]) == 0);
		if (wanted[i].pid)
			MUST(fcntl(fds[i][0], F_SETFL, O_NONBLOCK | O_ASYNC) == 0);
	}
	FREEZE();
	CHECK(last_fd == -1, "a signal came that nobody sent");
	for (int i = 0; i < N; i++) {
		struct f_owner_ex got = {-1, -1};

		CHECK(fcntl(fds[i][0], F_GETOWN_EX, &got) == 0, "F_GETOWN_EX: %m");
		CHECK(got.pid == wanted[i].pid && (!got.pid || got.type == wanted[i].type),
		      "owner %s: %d of type %d", names[i], got.pid, (int)got.type);
		CHECK_EQ(fcntl(fds[i][0], F_GETSIG), signals[i]);
		CHECK(!!(fcntl(fds[i][0], F_GETFL) & O_ASYNC) == !!wanted[i].pid, "O_ASYNC of %s",
		      names[i]);
		if (wanted[i].pid)
			check_delivery(fds[i], signals[i], names[i]);
	}
}
