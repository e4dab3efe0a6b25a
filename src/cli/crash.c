/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler runs in a process that is broken in an unknown way. It takes no lock and no memory:
 * log_error() is a vsnprintf() of plain numbers and a write(). Reading the binary log is left to a
 * new process, `torpor log`, started without the C library's fork(), which would take locks. An
 * alarm bounds it: there may be programs that wait for our death to go on.
 */
#include "cli/crash.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/log_binary.h"
#include "cli/binary_log.h"
#include "kernel/sys.h"

#include <linux/sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#define READER_S   2
#define STACK_SIZE (64u << 10)
#define LAST_LINES "10"

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

__attribute__((noreturn)) static void run_reader(int out)
{
	const char *const argv[] = {"torpor", "log", "--last=" LAST_LINES, "-", NULL};
	char *const env[] = {NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(READER_S);
	if (dup2(log_binary_fd(), STDIN_FILENO) == STDIN_FILENO &&
	    dup2(out, STDOUT_FILENO) == STDOUT_FILENO)
		execve("/proc/self/exe", (char *const *)argv, env);
	_exit(127);
}

static void print_last(int out)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	pid_t pid;

	if (log_binary_fd() < 0)
		return;
	(void)!write(out, LAST_HEADLINE,
		     strlen(LAST_HEADLINE)); /* or they stand there without it */
	pid = sys_clone3(&args, sizeof(args));
	if (pid == 0)
		run_reader(out);
	while (pid > 0 && sys_wait(pid, NULL, 0) == -EINTR)
		;
}

static void complain(int signo, const siginfo_t *info)
{
	if (info->si_code > 0)
		log_error("torpor itself failed: signal %d (%s), address %p; report this, with "
			  "the log of -v4",
			  signo, sigabbrev_np(signo), info->si_addr);
	else
		log_error("torpor got signal %d (%s) from pid %d", signo, sigabbrev_np(signo),
			  info->si_pid);
}

/* The error itself comes last: it shouldn't be among the last lines. */
static void report(int signo, const siginfo_t *info)
{
	int fd = log_fd();

	if (fd != STDERR_FILENO)
		print_last(fd);
	print_last(STDERR_FILENO);
	complain(signo, info);
	if (fd == STDERR_FILENO)
		return;
	log_pause_binary(true);
	log_set_fd(-1);
	complain(signo, info);
}

/*
 * Returning repeats the instruction that failed, which is now deadly. A signal that was sent has to
 * be sent once more; it arrives when we return.
 */
static void on_fatal(int signo, siginfo_t *info, void *context)
{
	static atomic_flag begun = ATOMIC_FLAG_INIT;
	int saved = errno;

	if (signo == SIGBUS && log_binary_fault(info->si_addr))
		return;
	(void)sigaction(signo, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	if (!atomic_flag_test_and_set(&begun))
		report(signo, info);
	if (info->si_code <= 0)
		(void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signo);
	errno = saved;
}

void crash_watch(void)
{
	static char stack[STACK_SIZE]; /* for a main thread that has none left */
	const stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	(void)sigaltstack(&alt, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		(void)sigaction(fatal[i], &action, NULL);
}
