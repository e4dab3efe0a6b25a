/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose pages are known from outside: paged.py tells it what to write, and reads it by
 * /proc/PID/mem.
 *
 *	paged CONTROL GEN	CONTROL: a file that is mapped; GEN: what the pages hold at first
 *
 * Page i of generation g holds the words g, i, g, i ...
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BASE   ((uint64_t *)0x300000000000ul)
#define NPAGES 256ul
#define PAGE   4096ul

struct control {
	_Atomic uint64_t asked, done; /* numbers of commands */
	uint64_t command, from, n, gen;
	int64_t result;
};

static volatile struct control *control;
static const char *control_name;
static pid_t child;

static void nap(void)
{
	const struct timespec time = {.tv_nsec = 1000000};

	nanosleep(&time, NULL);
}

static void write_pages(uint64_t from, uint64_t n, uint64_t gen)
{
	for (uint64_t page = from; page < from + n; page++) {
		uint64_t *p = BASE + page * (PAGE / 8);

		for (size_t i = 0; i < PAGE / 8; i += 2) {
			p[i] = gen;
			p[i + 1] = page;
		}
	}
}

static int64_t map_fresh(void)
{
	void *p = mmap(BASE, NPAGES * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == BASE ? 0 : -errno;
}

/* Another address space, the same pid. */
static int64_t exec_again(uint64_t gen)
{
	char text[24], number[24], name[] = "paged", path[4096];
	char *argv[] = {name, path, text, number, NULL};

	snprintf(path, sizeof(path), "%s", control_name);
	snprintf(text, sizeof(text), "%lu", (unsigned long)gen);
	snprintf(number, sizeof(number), "%lu", (unsigned long)control->asked);
	execv("/proc/self/exe", argv);
	return -errno;
}

/* With this pid; writes to its copies of our pages, and does nothing more. */
static int64_t bear(pid_t pid, uint64_t n, uint64_t gen)
{
	struct clone_args args = {.exit_signal = SIGCHLD};

	args.set_tid = pid ? (uintptr_t)&pid : 0;
	args.set_tid_size = pid ? 1 : 0;
	child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (child)
		return child < 0 ? -errno : child;
	write_pages(0, n, gen);
	for (;;)
		nap();
}

static int64_t bury(void)
{
	if (kill(child, SIGKILL) < 0 || waitpid(child, NULL, 0) != child)
		return -errno;
	return 0;
}

/* A userfaultfd of our own on some pages; returns its number. */
static int64_t watch(uint64_t from, uint64_t n, uint64_t mode)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register r = {.range = {(uintptr_t)BASE + from * PAGE, n * PAGE}};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	r.mode = mode;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &r) < 0)
		return -errno;
	return fd;
}

static int64_t obey(uint64_t command, uint64_t from, uint64_t n, uint64_t gen)
{
	switch (command) {
	case 'w':
		write_pages(from, n, gen);
		return 0;
	case 'm':
		return map_fresh();
	case 'd':
		return madvise(BASE + from * (PAGE / 8), n * PAGE, MADV_DONTNEED);
	case 'x':
		return exec_again(gen);
	case 'b':
		return bear((pid_t)from, n, gen);
	case 'k':
		return bury();
	case 'u':
		return watch(from, n, gen);
	case 'c':
		return close((int)from);
	default:
		return -EINVAL;
	}
}

int main(int argc, char **argv)
{
	int fd;
	void *p;

	if (argc < 3)
		return 2;
	control_name = argv[1];
	fd = open(control_name, O_RDWR | O_CLOEXEC);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || map_fresh() < 0)
		return 2;
	close(fd);
	control = p;
	write_pages(0, NPAGES, strtoul(argv[2], NULL, 10));
	if (argc > 3) { /* the command that brought us here */
		control->result = 0;
		control->done = strtoul(argv[3], NULL, 10);
	}
	for (;;) {
		uint64_t number = control->asked;

		if (number != control->done) {
			control->result =
				obey(control->command, control->from, control->n, control->gen);
			control->done = number;
		}
		nap();
	}
}
