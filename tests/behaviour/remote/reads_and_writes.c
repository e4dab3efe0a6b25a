/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads asleep in read() and its kin on an empty pipe, fifo and eventfd, and in write() on full
 * ones: they come back with all of their bytes, once. Also a write that was half done: what the
 * kernel has written already must not be written again.
 */
#include "blocked.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { BIG = 200000 };

static int empty[2], fifo[2], to_vector[2], full[2], event, full_event;
static unsigned char big[BIG];

static void check_text(const struct blocked *b, ssize_t n, const char *text)
{
	CHECK(n == 5, "%s: %zd, errno %d", b->name, n, errno);
	CHECK_MEM(text, "hello", 5);
}

static void read_pipe(struct blocked *b)
{
	char text[6] = "";
	ssize_t n = read(empty[0], text, 5);

	check_text(b, n, text);
}

static void read_fifo(struct blocked *b)
{
	char text[6] = "";
	ssize_t n = read(fifo[0], text, 5);

	check_text(b, n, text);
}

static void read_vector(struct blocked *b)
{
	char text[6] = "";
	struct iovec parts[] = {{text, 2}, {text + 2, 3}};
	ssize_t n = readv(to_vector[0], parts, 2);

	check_text(b, n, text);
}

static void read_event(struct blocked *b)
{
	uint64_t value = 0;
	ssize_t n = read(event, &value, sizeof(value));

	CHECK(n == 8 && value == 41, "eventfd: %zd, errno %d, %lu", n, errno, (unsigned long)value);
}

static void write_event(struct blocked *b)
{
	const uint64_t one = 1;
	ssize_t n = write(full_event, &one, sizeof(one));

	CHECK(n == 8, "write to an eventfd: %zd, errno %d", n, errno);
}

/* More than fits in. A write that is interrupted half-way may return what it has written. */
static void write_big(struct blocked *b)
{
	size_t done = 0;

	while (done < BIG) {
		ssize_t n = write(full[1], big + done, BIG - done);

		CHECK(n > 0, "write: %zd, errno %d", n, errno);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

static void check_big(void)
{
	static unsigned char got[BIG + 1];
	size_t n = 0;

	while (n < BIG) {
		ssize_t r = read(full[0], got + n, BIG - n);

		MUST(r > 0);
		n += (size_t)r;
	}
	CHECK_MEM(got, big, BIG);
}

BEHAVE("asleep in read and write", .changes = "threads")
{
	static struct blocked jobs[] = {
		{"read of a pipe", SYS_read, read_pipe},
		{"read of a fifo", SYS_read, read_fifo},
		{"readv", SYS_readv, read_vector},
		{"read of an eventfd", SYS_read, read_event},
		{"write to an eventfd", SYS_write, write_event},
		{"write of more than fits", SYS_write, write_big},
	};
	uint64_t value = 0xfffffffffffffffe;
	struct pollfd nothing;

	for (size_t i = 0; i < BIG; i++)
		big[i] = (unsigned char)(i * 7 + i / 251);
	SYS(pipe2(empty, O_CLOEXEC));
	SYS(pipe2(to_vector, O_CLOEXEC));
	SYS(pipe2(full, O_CLOEXEC));
	SYS(mkfifo("fifo", 0600));
	fifo[1] = SYS(open("fifo", O_RDWR | O_CLOEXEC));
	fifo[0] = SYS(open("fifo", O_RDONLY | O_CLOEXEC));
	event = SYS(eventfd(0, EFD_CLOEXEC));
	full_event = SYS(eventfd(0, EFD_CLOEXEC));
	SYS(write(full_event, &value, sizeof(value)));
	blocked_start(jobs, 6);
	FREEZE();
	blocked_check_still(jobs, 6);
	nothing = (struct pollfd){empty[0], POLLIN, 0};
	CHECK_EQ(poll(&nothing, 1, 0), 0);
	SYS(write(empty[1], "hello", 5));
	SYS(write(fifo[1], "hello", 5));
	SYS(write(to_vector[1], "hello", 5));
	value = 41;
	SYS(write(event, &value, sizeof(value)));
	SYS(read(full_event, &value, sizeof(value)));
	CHECK_EQ(value, 0xfffffffffffffffe);
	check_big();
	blocked_join(jobs, 6);
	SYS(read(full_event, &value, sizeof(value)));
	CHECK_EQ(value, 1);
}
