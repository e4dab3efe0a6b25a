/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors with high numbers, nearly up to what the limit allows (a restore needs one number
 * above them), and a limit lowered since.
 */
#include "behave.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

BEHAVE("high descriptor numbers")
{
	struct rlimit limit;
	int fd = SYS(open("file", O_CREAT | O_RDWR, 0644)), last, fds[2];

	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	last = (int)limit.rlim_cur - 10;
	MUST(lseek(fd, 5, SEEK_SET) == 5);
	MUST(dup3(fd, last, O_CLOEXEC) == last && dup2(fd, 1000) == 1000);
	MUST(pipe(fds) == 0 && dup2(fds[0], last - 1) == last - 1);
	MUST(write(fds[1], "x", 1) == 1);
	close(fds[0]);
	/* What is open above a lowered limit stays open. */
	limit.rlim_cur = 64;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	FREEZE();
	CHECK_EQ(lseek(last, 0, SEEK_CUR), 5);
	CHECK_EQ(fcntl(last, F_GETFD), FD_CLOEXEC);
	lseek(1000, 6, SEEK_SET);
	CHECK_EQ(lseek(last, 0, SEEK_CUR), 6);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK(read(last - 1, &fds[0], 1) == 1, "the pipe: %m");
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 64, "the limit changed");
	CHECK(dup2(fd, 64) < 0, "more descriptors than allowed");
}
