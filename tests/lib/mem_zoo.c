/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small tree with memory of all kinds, for mem_drill: prints "ready" when it is complete, and
 * sleeps. Every page holds words that depend on its address and on a seed, so that mix-ups show.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)

static char *map(size_t npages, int prot, int flags, int fd)
{
	char *p = mmap(NULL, npages * PAGE, prot, flags, fd, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static void paint(char *p, size_t npages, uint64_t seed)
{
	for (size_t i = 0; i < npages * PAGE / 8; i++)
		((uint64_t *)p)[i] = (uintptr_t)p + i * seed;
}

static int make_file(size_t npages)
{
	char name[] = "/tmp/mem_zoo.XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	if (fd < 0 || ftruncate(fd, (off_t)(npages * PAGE)) < 0)
		exit(1);
	return fd;
}

static void protections(void)
{
	char *p = map(16, RW, ANON, -1);

	paint(p, 16, 3);
	mprotect(p + PAGE, 2 * PAGE, PROT_READ);
	mprotect(p + 5 * PAGE, 3 * PAGE, PROT_NONE);
	mprotect(p + 10 * PAGE, PAGE, PROT_READ | PROT_EXEC);
	p = map(8, RW, ANON | MAP_NORESERVE, -1);
	paint(p, 3, 5);
	map(200, PROT_NONE, ANON | MAP_NORESERVE, -1);
}

static void states(void)
{
	char *p = map(64, RW, ANON, -1);

	for (size_t i = 0; i < 64; i += 3) /* full of holes */
		paint(p + i * PAGE, 1, 7);
	(void)*(volatile char *)(p + PAGE); /* the zero page */
	p = map(4, RW, ANON, -1);
	paint(p, 2, 1);
	mlock(p, 4 * PAGE);
	syscall(SYS_mlock2, map(6, RW, ANON, -1), 6 * PAGE, MLOCK_ONFAULT);
	p = map(4, RW, ANON, -1);
	paint(p, 4, 11);
	madvise(p, 4 * PAGE, MADV_DONTDUMP);
	p = map(1024, RW, ANON, -1);
	madvise(p, 1024 * PAGE, MADV_HUGEPAGE);
	paint(p, 1024, 13);
	p = map(8, RW, ANON, -1);
	paint(p, 8, 17);
	madvise(p + 2 * PAGE, 3 * PAGE, 102 /* MADV_GUARD_INSTALL */);
	p = map(8, RW, MAP_ANONYMOUS | 8 /* MAP_DROPPABLE */, -1);
	paint(p, 8, 19);
	p = map(16, RW, ANON | MAP_GROWSDOWN, -1);
	paint(p, 16, 23);
}

static void files(void)
{
	int fd = make_file(32);
	char *p = map(32, RW, MAP_PRIVATE, fd);

	paint(p + 4 * PAGE, 3, 29);
	mprotect(p + 4 * PAGE, PAGE, PROT_READ);
	p = map(32, RW, MAP_SHARED, fd);
	paint(p, 32, 31);
	p = map(20, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	paint(p + 5 * PAGE, 5, 37);
	fd = memfd_create("zoo", 0);
	if (ftruncate(fd, 12 * PAGE) < 0)
		exit(1);
	paint(map(12, RW, MAP_SHARED, fd), 4, 41);
	paint(map(12, RW, MAP_PRIVATE, fd) + 6 * PAGE, 2, 43);
	fd = open("/dev/zero", O_RDWR);
	paint(map(3, RW, MAP_PRIVATE, fd), 1, 47);
}

static char *big, *fixed, *child_only;

/* Differs from the parent in pages, sizes and protections. */
static void child(int depth)
{
	paint(big + 100 * PAGE, 50, 100 + (uint64_t)depth);
	paint(big + 3000 * PAGE, 1, 200 + (uint64_t)depth);
	madvise(big + 500 * PAGE, 20 * PAGE, MADV_DONTNEED);
	mprotect(big + 1000 * PAGE, 10 * PAGE, PROT_READ);
	munmap(big + 4000 * PAGE, 96 * PAGE);
	mlock(big + 5000 * PAGE, 4 * PAGE);
	mprotect(fixed, 4 * PAGE, RW);
	paint(fixed + PAGE, 2, 300 + (uint64_t)depth);
	mprotect(fixed, 4 * PAGE, PROT_READ);
	child_only = map(40, RW, ANON, -1);
	paint(child_only, 30, 51);
	paint(sbrk(50 * PAGE), 50, 53);
}

int main(int argc, char **argv)
{
	size_t npages = argc > 1 ? (size_t)atol(argv[1]) : 8192;
	int done[2];
	char byte;

	setvbuf(stdout, NULL, _IOLBF, 0);
	protections();
	states();
	files();
	big = map(npages, RW, ANON, -1);
	paint(big, npages, 61);
	paint(sbrk(100 * PAGE), 100, 67);
	fixed = map(4, RW, ANON, -1);
	paint(fixed, 4, 79);
	mprotect(fixed, 4 * PAGE, PROT_READ);
	if (pipe(done) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		if (fork() != 0)
			continue;
		child(i);
		if (fork() == 0)
			paint(big + 2000 * PAGE, 10, 71);
		if (write(done[1], "", 1) != 1)
			return 1;
		for (;;)
			pause();
	}
	for (int i = 0; i < 4; i++)
		if (read(done[0], &byte, 1) != 1)
			return 1;
	paint(big + 6000 * PAGE, 1000, 73); /* the parent goes on as well */
	sbrk(30 * PAGE);
	puts("ready");
	for (;;)
		pause();
}
