/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that kill_dump.py and kill_restore.py try to harm: three processes below each other,
 * with four threads each, that check everything they do and can't tell when they are frozen.
 *
 *	kill_target PROGRESS	PROGRESS: a file that is mapped; one counter per thread
 *
 * A complaint goes to stderr as a line, and is the only thing that does. The tree ends, with
 * status 0 if nobody complained, when the file "stop" appears.
 *
 * Nothing here is allowed to fail by an interruption: signal(7) names the calls that do at any
 * stop, even without a handler; none of those is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 3, THREADS = 4, RING_FILE = 1 << 16, NAP_NS = 500000 };

struct pair {
	int to[2], from[2];
};

static _Atomic uint64_t *progress; /* THREADS per process */
static int level;		   /* which of the processes this is */
static _Atomic int complaints, heard;
static volatile bool stopping;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t turn;

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	n = snprintf(text, sizeof(text), "pid %d, thread %d: ", getpid(), gettid());
	va_start(ap, fmt);
	n += vsnprintf(text + n, sizeof(text) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	text[n++] = '\n';
	if (complaints++ < 20 && write(STDERR_FILENO, text, (size_t)n) != n)
		_exit(3);
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	complain("%s: %s", what, strerror(errno));
	_exit(2);
}

static void on_signal(int nr)
{
	heard++;
}

static void step(int thread)
{
	progress[level * THREADS + thread]++;
}

/* Threads end when they see this; nobody waits for a partner that is gone. */
static bool over(void)
{
	if (!stopping && access("stop", F_OK) == 0)
		stopping = true;
	return stopping;
}

static void nap(void)
{
	const struct timespec time = {.tv_nsec = NAP_NS};
	long r = syscall(SYS_nanosleep, &time, NULL);

	if (r)
		complain("nanosleep: %ld, errno %d", r, errno);
}

/* ------------------------------------------------------------- the threads */

/* Vectors and scalars: the same sum each time, whenever it is interrupted. */
__attribute__((noinline)) static double sum_up(unsigned int seed)
{
	double sums[8] = {0};
	uint64_t x = seed;

	for (int i = 0; i < 20000; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		for (int k = 0; k < 8; k++)
			sums[k] = sums[k] * 0.999 + (double)(x >> (k + 32));
	}
	return sums[0] + sums[3] * 3 + sums[7] * 7;
}

static void *compute(void *arg)
{
	const double want = sum_up(42 + (unsigned int)level);

	for (; !over(); step(0)) {
		double got = sum_up(42 + (unsigned int)level);

		if (got != want)
			complain("the sum is %a instead of %a", got, want);
		nap();
	}
	return NULL;
}

/* Fixed places of a file of fixed size: what was written is what is read, at its place. */
static void *write_and_read(void *arg)
{
	char name[16], text[32], got[32];
	uint64_t n = 0;
	int fd;

	snprintf(name, sizeof(name), "data-%d", level);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && ftruncate(fd, RING_FILE) == 0, name);
	for (; !over(); step(1)) {
		off_t at = (off_t)(n * sizeof(text) % RING_FILE);

		memset(text, 0, sizeof(text));
		snprintf(text, sizeof(text), "record %lu of %d", (unsigned long)n++, level);
		if (lseek(fd, at, SEEK_SET) != at || write(fd, text, sizeof(text)) != sizeof(text))
			complain("write at %ld: errno %d", (long)at, errno);
		if (pread(fd, got, sizeof(got), at) != sizeof(got) ||
		    memcmp(got, text, sizeof(got)))
			complain("read at %ld: '%.31s' instead of '%s'", (long)at, got, text);
		nap();
	}
	return NULL;
}

/* Two threads take turns; main is the other one. */
static void take_turn(uint64_t mine, bool *ended)
{
	pthread_mutex_lock(&lock);
	while (turn % 2 != mine && !(*ended = over())) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		pthread_cond_timedwait(&changed, &lock, &until);
	}
	turn++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void *alternate(void *arg)
{
	for (bool ended = false; !ended && !over(); step(2))
		take_turn(1, &ended);
	return NULL;
}

/* The child's thread sends back what the parent's thread sent, plus one. */
static void *answer(void *arg)
{
	const struct pair *p = arg;
	uint64_t n = 0;
	ssize_t r;

	while ((r = read(p->to[0], &n, sizeof(n))) == sizeof(n)) {
		n++;
		if (write(p->from[1], &n, sizeof(n)) != sizeof(n))
			complain("answer: errno %d", errno);
		step(3);
	}
	if (r)
		complain("read of a question: %zd, errno %d", r, errno);
	return NULL;
}

/* ----------------------------------------------------------- the processes */

static void check_self(pid_t pid, pid_t ppid, const sigset_t *mask)
{
	sigset_t now;

	/* The root's parent is who started or restored it, and may end. */
	if (getpid() != pid || (level && getppid() != ppid))
		complain("is pid %d, child of %d", getpid(), getppid());
	sigprocmask(SIG_SETMASK, NULL, &now);
	if (memcmp(&now, mask, 8))
		complain("another signal mask");
	if (heard)
		complain("%d signals were heard", heard);
}

static void ask(const struct pair *p, uint64_t n)
{
	uint64_t got = 0;

	if (write(p->to[1], &n, sizeof(n)) != sizeof(n) ||
	    read(p->from[0], &got, sizeof(got)) != sizeof(got))
		complain("question %lu: errno %d", (unsigned long)n, errno);
	else if (got != n + 1)
		complain("answer %lu to %lu", (unsigned long)got, (unsigned long)n);
}

static void wait_for(pid_t child)
{
	int status = -1;

	if (waitpid(child, &status, 0) != child || status)
		complain("child %d: status 0x%x, errno %d", child, status, errno);
}

/* `up`: the pipes to the parent, NULL in the root. */
static int live(struct pair *up);

static pid_t start_child(struct pair *down)
{
	pid_t child;

	must(pipe2(down->to, O_CLOEXEC) == 0 && pipe2(down->from, O_CLOEXEC) == 0, "pipe");
	child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		level++;
		close(down->to[1]);
		close(down->from[0]);
		_exit(live(down));
	}
	close(down->to[0]);
	close(down->from[1]);
	return child;
}

static int live(struct pair *up)
{
	static void *(*const bodies[])(void *) = {compute, write_and_read, alternate, answer};
	const pid_t pid = getpid(), ppid = getppid();
	struct pair down;
	pthread_t threads[THREADS];
	pid_t child = level + 1 < PROCESSES ? start_child(&down) : 0;
	int n = up ? THREADS : THREADS - 1;
	bool ended = false;
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 0; i < n; i++)
		must(pthread_create(&threads[i], NULL, bodies[i], up) == 0, "thread");
	for (uint64_t i = 0; !ended && !over(); i++) {
		check_self(pid, ppid, &mask);
		take_turn(0, &ended);
		if (child)
			ask(&down, i);
		nap();
	}
	if (child) {
		close(down.to[1]);
		/* Before its death it is reaped: SIGCHLD has a handler that must not run. */
		sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		wait_for(child);
	}
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return complaints ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const int signals[] = {SIGCONT, SIGTSTP, SIGUSR1, SIGALRM, SIGHUP};
	const struct sigaction action = {.sa_handler = on_signal};
	int fd;

	must(argc == 2, "usage");
	fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && ftruncate(fd, 4096) == 0, argv[1]);
	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(progress != MAP_FAILED, "mmap");
	close(fd);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	/* One signal is left without a handler for torpor to use; these two aren't. */
	sigaction(SIGCHLD, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	return live(NULL);
}
