/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command and looks at the memory it takes beside its image, every millisecond:
 *
 *   meter FILE COMMAND ...
 *
 * FILE gets the peaks in KiB: of each kind, and of their sum. "anon": anonymous memory, "pipes":
 * what its pipes can hold, "tables": page tables, "stacks": kernel stacks of its threads. The exit
 * status is the command's. Only the command's own process is looked at: its children are, at a
 * restore, the very processes that are made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KERNEL_STACK_KIB 16
#define INTERVAL_NS	 1000000
#define MAX_PIPES	 64

enum { ANON, PIPES, TABLES, STACKS, TOTAL, KINDS };
static const char *const names[KINDS] = {"anon", "pipes", "tables", "stacks", "total"};

static unsigned long field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoul(p + strlen(name), NULL, 10) : 0;
}

static int read_status(pid_t pid, char *buffer, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, buffer, size - 1);
	close(fd);
	if (n <= 0)
		return -1;
	buffer[n] = '\0';
	return 0;
}

/* What one descriptor's pipe can hold; 0 if it is none, or is in seen[] already. */
static unsigned long pipe_kib(int dir, const char *name, char (*seen)[32], size_t *nseen)
{
	char link[32] = "";
	int fd, size;

	if (readlinkat(dir, name, link, sizeof(link) - 1) < 0 || strncmp(link, "pipe:", 5) != 0)
		return 0;
	for (size_t i = 0; i < *nseen; i++)
		if (strcmp(seen[i], link) == 0)
			return 0;
	if (*nseen < MAX_PIPES)
		memcpy(seen[(*nseen)++], link, sizeof(link));
	fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 64;
	size = fcntl(fd, F_GETPIPE_SZ);
	close(fd);
	return size > 0 ? (unsigned long)size / 1024 : 64;
}

static unsigned long pipes_kib(pid_t pid)
{
	char path[64], seen[MAX_PIPES][32];
	unsigned long sum = 0;
	struct dirent *e;
	size_t nseen = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		sum += pipe_kib(dirfd(d), e->d_name, seen, &nseen);
	if (d)
		closedir(d);
	return sum;
}

static void look(pid_t pid, unsigned long *peak)
{
	unsigned long now[KINDS];
	char text[4096];

	if (read_status(pid, text, sizeof(text)) < 0)
		return;
	now[ANON] = field(text, "RssAnon:");
	now[TABLES] = field(text, "VmPTE:");
	now[STACKS] = field(text, "Threads:") * KERNEL_STACK_KIB;
	now[PIPES] = pipes_kib(pid);
	now[TOTAL] = now[ANON] + now[TABLES] + now[STACKS] + now[PIPES];
	for (int i = 0; i < KINDS; i++)
		if (now[i] > peak[i])
			peak[i] = now[i];
}

int main(int argc, char **argv)
{
	const struct timespec interval = {.tv_nsec = INTERVAL_NS};
	unsigned long peak[KINDS] = {0};
	int status;
	FILE *out;
	pid_t pid;

	if (argc < 3)
		return fprintf(stderr, "usage: meter FILE COMMAND ...\n"), 2;
	pid = fork();
	if (pid == 0) {
		execv(argv[2], argv + 2);
		fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		look(pid, peak);
		nanosleep(&interval, NULL);
	}
	out = fopen(argv[1], "we");
	if (!out)
		return perror(argv[1]), 2;
	for (int i = 0; i < KINDS; i++)
		fprintf(out, "%s %lu\n", names[i], peak[i]);
	fclose(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
