/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmarks freeze and wake, and the plain kernel work they are compared with.
 *
 *   target idle                 a process with next to no memory
 *   target tree N KIB           a process and N children with KIB of own memory each
 *   target threads N            a process of N threads
 *   target memory MIB           a process with that much memory, no two pages alike
 *   target cow MIB N            a parent and N children that rewrote 2% of its memory each
 *   target write MIB FILE       prints the microseconds that write() of its memory takes
 *   target uffd MIB FILE        prints the microseconds of UFFDIO_COPY from the mapped file
 *
 * The first ones create the file "ready" when they are, and wait.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MIB   (1ul << 20)
#define CHUNK (4 * MIB)

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void ready(void)
{
	int fd = open("ready", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	must(fd >= 0, "ready");
	close(fd);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Private memory, every page different from every other and none of them zero. */
static uint64_t *fill(size_t bytes)
{
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	for (size_t i = 0; i < bytes / sizeof(*p); i++)
		p[i] = (i + 1) * 0x9e3779b97f4a7c15ul;
	return p;
}

static void wait_forever(void)
{
	for (;;)
		pause();
}

static void tree(long n, size_t kib)
{
	int go[2];
	char byte;

	must(pipe2(go, O_CLOEXEC) == 0, "pipe");
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (pid == 0) {
			uint64_t *p = fill(kib << 10);

			p[0] = (uint64_t)i;
			must(write(go[1], "x", 1) == 1, "write");
			close(go[0]);
			close(go[1]);
			wait_forever();
		}
	}
	for (long i = 0; i < n; i++)
		must(read(go[0], &byte, 1) == 1, "read");
	close(go[0]);
	close(go[1]);
}

static void *thread(void *unused)
{
	wait_forever();
	return unused;
}

static void threads(long n)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (long i = 1; i < n; i++)
		must(pthread_create(&id, &attr, thread, NULL) == 0, "pthread_create");
}

static void cow(size_t bytes, long n)
{
	uint64_t *p = fill(bytes);
	int go[2];
	char byte;

	must(pipe2(go, O_CLOEXEC) == 0, "pipe");
	for (long c = 0; c < n; c++) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (pid == 0) {
			for (size_t page = (size_t)c; page < bytes / 4096; page += 50)
				p[page * 512]++;
			must(write(go[1], "x", 1) == 1, "write");
			close(go[0]);
			close(go[1]);
			wait_forever();
		}
	}
	for (long c = 0; c < n; c++)
		must(read(go[0], &byte, 1) == 1, "read");
	close(go[0]);
	close(go[1]);
}

static void time_write(size_t bytes, const char *path)
{
	char *p = (char *)fill(bytes);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	uint64_t begin = now_us();

	must(fd >= 0, path);
	for (size_t done = 0; done < bytes;) {
		ssize_t n = write(fd, p + done, bytes - done < CHUNK ? bytes - done : CHUNK);

		must(n > 0, "write");
		done += (size_t)n;
	}
	close(fd);
	printf("%lu\n", (unsigned long)(now_us() - begin));
}

static void time_uffd(size_t bytes, const char *path)
{
	int fd = open(path, O_RDONLY);
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	char *to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {.range = {(uintptr_t)to, bytes},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};
	uint64_t begin = now_us();
	char *from;

	must(fd >= 0, path);
	must(uffd >= 0 && ioctl(uffd, UFFDIO_API, &api) == 0, "userfaultfd");
	must(ioctl(uffd, UFFDIO_REGISTER, &reg) == 0, "UFFDIO_REGISTER");
	from = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	must(from != MAP_FAILED, "mmap");
	for (size_t done = 0; done < bytes;) {
		size_t len = bytes - done < CHUNK ? bytes - done : CHUNK;
		struct uffdio_copy copy = {
			.dst = (uintptr_t)to + done, .src = (uintptr_t)from + done, .len = len};

		must(madvise(from + done, len, MADV_POPULATE_READ) == 0, "MADV_POPULATE_READ");
		must(ioctl(uffd, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
		done += len;
	}
	printf("%lu\n", (unsigned long)(now_us() - begin));
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long n = argc > 2 ? atol(argv[2]) : 0, m = argc > 3 ? atol(argv[3]) : 0;

	if (strcmp(what, "write") == 0 && argc == 4)
		return time_write((size_t)n * MIB, argv[3]), 0;
	if (strcmp(what, "uffd") == 0 && argc == 4)
		return time_uffd((size_t)n * MIB, argv[3]), 0;
	if (strcmp(what, "tree") == 0 && argc == 4)
		tree(n, (size_t)m);
	else if (strcmp(what, "threads") == 0 && argc == 3)
		threads(n);
	else if (strcmp(what, "memory") == 0 && argc == 3)
		fill((size_t)n * MIB);
	else if (strcmp(what, "cow") == 0 && argc == 4)
		cow((size_t)n * MIB, m);
	else if (strcmp(what, "idle") != 0)
		return fprintf(stderr, "what? see the head of target.c\n"), 2;
	ready();
	wait_forever();
}
