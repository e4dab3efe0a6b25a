/* SPDX-License-Identifier: Apache-2.0 */
/* Not one descriptor more can be opened, before and after. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

BEHAVE("a full descriptor table")
{
	struct rlimit limit;
	int n = 0, fd;

	/* The last number goes to what tells that we are ready, and is free again after that. */
	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 40;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (dup(STDIN_FILENO) >= 0)
		n++;
	MUST(errno == EMFILE && close(39) == 0);
	behave_ready();
	fd = SYS(dup(STDIN_FILENO));
	MUST(fd == 39 && dup(STDIN_FILENO) < 0);
	behave_await_go();
	CHECK(dup(STDIN_FILENO) < 0 && errno == EMFILE, "the table isn't full any more");
	for (int i = 0; i < 40; i++)
		CHECK(fcntl(i, F_GETFD) >= 0, "descriptor %d is closed", i);
}
