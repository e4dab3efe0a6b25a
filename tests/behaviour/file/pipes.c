/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes: what is in them, their sizes and flags, one end closed, several descriptors on one end.
 */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const int sizes[] = {4096, 16384, 65536, 1 << 20};
enum { N = sizeof(sizes) / sizeof(sizes[0]) };

static void fill(int fd, int len, int seed)
{
	for (int i = 0; i < len; i++) {
		char c = (char)(i * 31 + i / 1000 + seed);

		MUST(write(fd, &c, 1) == 1);
	}
}

static int count_wrong(int fd, int len, int seed)
{
	int bad = 0;

	for (int i = 0; i < len; i++) {
		char c = 0;

		bad += read(fd, &c, 1) != 1 || c != (char)(i * 31 + i / 1000 + seed);
	}
	return bad;
}

static void check_sized(int fds[N][2])
{
	for (int i = 0; i < N; i++) {
		int waiting = -1;

		CHECK_EQ(fcntl(fds[i][0], F_GETPIPE_SZ), sizes[i]);
		CHECK_EQ(fcntl(fds[i][0], F_GETFL) & O_NONBLOCK, 0);
		CHECK_EQ(fcntl(fds[i][1], F_GETFL) & O_NONBLOCK, i % 2 ? O_NONBLOCK : 0);
		CHECK_EQ(fcntl(fds[i][1], F_GETFD), i % 2 ? 0 : FD_CLOEXEC);
		CHECK(ioctl(fds[i][0], FIONREAD, &waiting) == 0, "FIONREAD: %m");
		CHECK_EQ(waiting, 100 + 900 * i);
		CHECK_EQ(count_wrong(fds[i][0], 100 + 900 * i, i), 0);
		CHECK(write(fds[i][1], "w", 1) == 1 && count_wrong(fds[i][0], 1, 'w') == 0,
		      "pipe %d leads elsewhere", i);
	}
}

BEHAVE("pipes with data, sizes, flags and closed ends")
{
	int fds[N][2], no_writer[2], no_reader[2], copy;
	char buf[64] = "";

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < N; i++) {
		MUST(pipe2(fds[i], i % 2 ? 0 : O_CLOEXEC) == 0);
		if (fcntl(fds[i][0], F_SETPIPE_SZ, sizes[i]) != sizes[i])
			behave_skip("a pipe of %d bytes can't be had: %m", sizes[i]);
		fill(fds[i][1], 100 + 900 * i, i);
		if (i % 2)
			MUST(fcntl(fds[i][1], F_SETFL, O_NONBLOCK) == 0);
	}
	copy = SYS(fcntl(fds[0][1], F_DUPFD, 100));
	MUST(pipe(no_writer) == 0 && pipe(no_reader) == 0);
	MUST(write(no_writer[1], "last words", 10) == 10);
	close(no_writer[1]);
	close(no_reader[0]);
	FREEZE();
	check_sized(fds);
	close(fds[0][1]);
	CHECK(write(copy, "c", 1) == 1 && read(fds[0][0], buf, 9) == 1 && buf[0] == 'c',
	      "the copy of a write end leads elsewhere");
	CHECK(read(no_writer[0], buf, sizeof(buf)) == 10 && !memcmp(buf, "last words", 10),
	      "what was in a pipe without writers");
	CHECK(read(no_writer[0], buf, sizeof(buf)) == 0, "no end of file without writers");
	CHECK(write(no_reader[1], "x", 1) < 0 && errno == EPIPE, "no EPIPE without readers");
}
