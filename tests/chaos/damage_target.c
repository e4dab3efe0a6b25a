/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree whose dump has an image of nearly every kind: what damage.py damages.
 * Writes the file "ready" and waits; after SIGUSR1 it checks what it holds and exits with 0.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t go;

static void on_usr1(int sig)
{
	go = sig;
}

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void *thread(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static int deleted_file(void)
{
	int fd = open("deleted", O_CREAT | O_EXCL | O_RDWR, 0600);

	must(fd >= 0 && write(fd, "ghost", 5) == 5 && unlink("deleted") == 0, "deleted");
	return fd;
}

/* Large enough to be copied by the kernel. */
static int large_deleted_file(void)
{
	int fd = open("large", O_CREAT | O_EXCL | O_RDWR, 0600);
	char line[1024];

	memset(line, 'l', sizeof(line));
	for (int i = 0; i < 400; i++)
		must(fd >= 0 && write(fd, line, sizeof(line)) == sizeof(line), "large");
	must(unlink("large") == 0, "large");
	return fd;
}

static void child(char *shared, const int *pipe_fds)
{
	while (shared[1] != 'x')
		usleep(10000);
	shared[2] = 'y';
	must(write(pipe_fds[1], "world", 5) == 5, "write to the pipe");
	_exit(7);
}

int main(void)
{
	char buf[16] = "";
	int fds[2], ghost, large, event, memfd, status;
	struct itimerval alarm_far_away = {.it_value.tv_sec = 1000};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	pthread_t id;
	timer_t timer;
	sigset_t set;
	eventfd_t n;
	char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	must(shared != MAP_FAILED, "mmap");
	must(pipe(fds) == 0 && write(fds[1], "hello", 5) == 5, "pipe");
	ghost = deleted_file();
	large = large_deleted_file();
	event = eventfd(5, 0);
	memfd = memfd_create("damage", MFD_ALLOW_SEALING);
	must(event >= 0 && memfd >= 0 && write(memfd, "memfd", 5) == 5, "memfd");
	must(timer_create(CLOCK_MONOTONIC, &none, &timer) == 0, "timer_create");
	must(setitimer(ITIMER_REAL, &alarm_far_away, NULL) == 0, "setitimer");
	signal(SIGUSR1, on_usr1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	must(pthread_create(&id, NULL, thread, NULL) == 0, "pthread_create");
	raise(SIGUSR2);
	kill(getpid(), SIGUSR2);
	strcpy(shared, "s");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0)
		child(shared, fds);
	must(mkfifo("fifo", 0600) == 0 && open("fifo", O_RDWR) >= 0, "fifo");
	close(open("ready", O_CREAT | O_WRONLY, 0600));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	while (!go)
		sigsuspend(&set);
	must(read(fds[0], buf, 5) == 5 && memcmp(buf, "hello", 5) == 0, "what was in the pipe");
	must(pread(ghost, buf, 5, 0) == 5 && memcmp(buf, "ghost", 5) == 0, "the deleted file");
	must(pread(large, buf, 5, 300000) == 5 && memcmp(buf, "lllll", 5) == 0, "the large file");
	must(pread(memfd, buf, 5, 0) == 5 && memcmp(buf, "memfd", 5) == 0, "the memfd");
	must(eventfd_read(event, &n) == 0 && n == 5, "the eventfd");
	shared[1] = 'x';
	must(waitpid(pid, &status, 0) == pid && status == 7 << 8 && shared[2] == 'y', "the child");
	must(read(fds[0], buf, 5) == 5 && memcmp(buf, "world", 5) == 0, "the child's words");
	must(sigpending(&set) == 0 && sigismember(&set, SIGUSR2), "the pending signal");
	return 0;
}
