/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is in and out of system calls all the time: each of its calls gives the right
 * result, each byte of its pipes and files arrives once, whatever moment it is frozen at.
 */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int running;

/* One call after the other. */
static void *ask(void *arg)
{
	const pid_t pid = getpid(), tid = gettid();

	running++;
	while (!behave_go()) {
		CHECK_EQ(syscall(SYS_getpid), pid);
		CHECK_EQ(syscall(SYS_gettid), tid);
		CHECK(syscall(SYS_close, -1) < 0 && errno == EBADF, "close: errno %d", errno);
	}
	return NULL;
}

static void *map(void *arg)
{
	running++;
	while (!behave_go()) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		MUST(p != MAP_FAILED);
		memset(p, 0x5a, 65536);
		SYS(mprotect(p, 4096, PROT_READ));
		CHECK(p[0] == 0x5a && p[65535] == 0x5a, "memory has changed");
		SYS(munmap(p, 65536));
	}
	return NULL;
}

struct pair {
	int to[2], from[2];
};

/* Sends back what it gets. */
static void *echo(void *arg)
{
	struct pair *p = arg;
	uint32_t n;
	ssize_t r;

	running++;
	while ((r = read(p->to[0], &n, sizeof(n))) == sizeof(n))
		CHECK_EQ(write(p->from[1], &n, sizeof(n)), sizeof(n));
	CHECK(r == 0, "echo: read %zd, errno %d", r, errno);
	return NULL;
}

static void *talk(void *arg)
{
	struct pair *p = arg;
	uint32_t got;

	running++;
	for (uint32_t n = 0; !behave_go(); n++) {
		CHECK_EQ(write(p->to[1], &n, sizeof(n)), sizeof(n));
		CHECK_EQ(read(p->from[0], &got, sizeof(got)), sizeof(got));
		CHECK_EQ(got, n);
	}
	SYS(close(p->to[1]));
	return NULL;
}

/* Sixteen bytes at a time, each with its number; the file must have all of them in order. */
static void *append(void *arg)
{
	int fd = SYS(open("counted", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	uint32_t record[4], n = 0, count;

	running++;
	for (; !behave_go(); n++) {
		for (int i = 0; i < 4; i++)
			record[i] = n + (uint32_t)i;
		CHECK_EQ(write(fd, record, sizeof(record)), sizeof(record));
		if (n % 1000 == 0)
			behave_nap(1);
	}
	SYS(lseek(fd, 0, SEEK_SET));
	for (count = 0; read(fd, record, sizeof(record)) == sizeof(record); count++) {
		if (record[0] != count || record[3] != count + 3) {
			CHECK(false, "record %u says %u", count, record[0]);
			break;
		}
	}
	CHECK_EQ(count, n);
	SYS(close(fd));
	return NULL;
}

BEHAVE("in and out of system calls all the time", .changes = "maps fds threads")
{
	static void *(*const bodies[])(void *) = {ask, map, echo, talk, append};
	pthread_t threads[5];
	struct pair pair;

	SYS(pipe2(pair.to, O_CLOEXEC));
	SYS(pipe2(pair.from, O_CLOEXEC));
	for (int i = 0; i < 5; i++)
		threads[i] = behave_thread(bodies[i], &pair);
	while (running < 5)
		behave_nap(1);
	FREEZE();
	for (int i = 0; i < 5; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
