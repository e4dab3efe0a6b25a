/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain kernel work that the benchmarks compare with, and nothing beside it. Each prints the
 * nanoseconds that it took. (The third, write(), is done by the target itself: target.c.)
 *
 *   yardstick uffd FILE THREADS	UFFDIO_COPY of a mapped file to an empty area of its size
 *   yardstick readv PID ADDR SIZE	process_vm_readv of that memory through one buffer of 256
 * KiB yardstick read FILE		read() of a file, from the disk if the page cache hasn't got
 * it
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MIB	    (1ul << 20)
#define CHUNK	    (2 * MIB)
#define BUFFER	    (256ul << 10)
#define MAX_THREADS 8

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int open_file(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	must(fd >= 0 && fstat(fd, &st) == 0, path);
	*ret_size = (size_t)st.st_size & ~4095ul;
	return fd;
}

/* One thread's part of the copy. */
struct part {
	int uffd;
	char *to, *from;
	size_t size;
};

static void *copy_part(void *arg)
{
	struct part *p = arg;

	for (size_t done = 0; done < p->size;) {
		size_t len = p->size - done < CHUNK ? p->size - done : CHUNK;
		struct uffdio_copy copy = {.dst = (uintptr_t)p->to + done,
					   .src = (uintptr_t)p->from + done,
					   .len = len};

		must(madvise(p->from + done, len, MADV_POPULATE_READ) == 0, "MADV_POPULATE_READ");
		must(ioctl(p->uffd, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
		done += len;
	}
	return NULL;
}

static int open_uffd(char *start, size_t size)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.range = {(uintptr_t)start, size},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	must(uffd >= 0 && ioctl(uffd, UFFDIO_API, &api) == 0, "userfaultfd");
	must(ioctl(uffd, UFFDIO_REGISTER, &reg) == 0, "UFFDIO_REGISTER");
	return uffd;
}

static uint64_t time_uffd(const char *path, long threads)
{
	size_t size, each;
	int fd = open_file(path, &size);
	char *to = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct part parts[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	uint64_t begin;
	char *from;
	int uffd;

	must(to != MAP_FAILED && threads >= 1 && threads <= MAX_THREADS, "uffd");
	must(madvise(to, size, MADV_NOHUGEPAGE) == 0, "madvise");
	each = (size / (size_t)threads + CHUNK - 1) / CHUNK * CHUNK;
	begin = now_ns();
	uffd = open_uffd(to, size);
	from = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	must(from != MAP_FAILED, "mmap");
	for (long i = 0; i < threads; i++) {
		size_t start = (size_t)i * each < size ? (size_t)i * each : size;
		size_t end = start + each < size ? start + each : size;

		parts[i] = (struct part){uffd, to + start, from + start, end - start};
		if (i > 0)
			must(pthread_create(&ids[i], NULL, copy_part, &parts[i]) == 0, "thread");
	}
	copy_part(&parts[0]);
	for (long i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	return now_ns() - begin;
}

static uint64_t time_readv(pid_t pid, uintptr_t addr, size_t size)
{
	char *buffer = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t begin = now_ns();

	must(buffer != MAP_FAILED, "mmap");
	for (size_t done = 0; done < size;) {
		size_t len = size - done < BUFFER ? size - done : BUFFER;
		struct iovec local = {buffer, len}, remote = {(void *)(addr + done), len};
		ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

		must(n > 0, "process_vm_readv");
		done += (size_t)n;
	}
	return now_ns() - begin;
}

static uint64_t time_read(const char *path)
{
	char *buffer = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t begin = now_ns();
	size_t size;
	int fd = open_file(path, &size);
	ssize_t n;

	must(buffer != MAP_FAILED, "mmap");
	do {
		n = read(fd, buffer, MIB);
		must(n >= 0, "read");
	} while (n > 0);
	return now_ns() - begin;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t took;

	if (strcmp(what, "uffd") == 0 && argc == 4)
		took = time_uffd(argv[2], atol(argv[3]));
	else if (strcmp(what, "readv") == 0 && argc == 5)
		took = time_readv(atoi(argv[2]), strtoul(argv[3], NULL, 0),
				  strtoul(argv[4], NULL, 0));
	else if (strcmp(what, "read") == 0 && argc == 3)
		took = time_read(argv[2]);
	else
		return fprintf(stderr, "what? see the head of yardstick.c\n"), 2;
	printf("%lu\n", (unsigned long)took);
	return 0;
}
