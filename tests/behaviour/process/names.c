/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process calls itself: comm, set by prctl() and by /proc; command line and environment,
 * overwritten in place as setproctitle() does; the auxiliary vector.
 */
#include "behave.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

/* /proc files with bytes of any value: length in front of the content. */
static size_t get(const char *path, char *text, size_t size)
{
	int fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
	ssize_t n = SYS(read(fd, text, size));

	SYS(close(fd));
	return (size_t)n;
}

static void check_names(const char *comm)
{
	static const char *const paths[] = {"/proc/self/cmdline", "/proc/self/environ",
					    "/proc/self/auxv"};
	static char before[3][8192], after[8192];
	size_t len[3];
	char name[16];

	for (int i = 0; i < 3; i++)
		len[i] = get(paths[i], before[i], sizeof(before[i]));
	behave_child_ready();
	behave_await_go();
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(get(paths[i], after, sizeof(after)), len[i]);
		CHECK_MEM(after, before[i], len[i]);
	}
	SYS(prctl(PR_GET_NAME, name));
	CHECK_STR(name, comm);
}

/* Where the kernel has put the arguments: the first string of the stack's top. */
static char *args_begin(void)
{
	/* Field 48 of stat: arg_start. */
	return (char *)(uintptr_t)behave_proc_stat("self", 48);
}

static void untouched(void *arg)
{
	SYS(prctl(PR_SET_NAME, "plain"));
	check_names("plain");
}

static void retitled(void *arg)
{
	char *begin = args_begin();

	strcpy(begin, "new title");
	SYS(prctl(PR_SET_NAME, ") R 1 2 3 (\n"));
	check_names(") R 1 2 3 (\n");
}

/* A title longer than the arguments were runs over the environment, and is shown up to its end. */
static void long_title(void *arg)
{
	char *begin = args_begin(), *end = (char *)(uintptr_t)behave_proc_stat("self", 51);
	size_t len = (size_t)(end - begin);
	char shown[8192];

	memset(begin, 'T', len);
	begin[len - 1] = '\0';
	MUST(get("/proc/self/cmdline", shown, sizeof(shown)) > 20);
	SYS(prctl(PR_SET_NAME, ""));
	check_names("");
}

static void by_proc(void *arg)
{
	int fd = SYS(open("/proc/self/comm", O_WRONLY | O_CLOEXEC));

	SYS(write(fd, "a%s b\tc", 7));
	SYS(close(fd));
	check_names("a%s b\tc");
}

BEHAVE("comm, command line, environment, auxiliary vector")
{
	static void (*const bodies[])(void *) = {untouched, retitled, long_title, by_proc};
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = behave_fork(bodies[i], NULL);
	behave_await_children(4);
	FREEZE();
	CHECK_EQ(getauxval(AT_PAGESZ), 4096);
	for (int i = 0; i < 4; i++)
		behave_join(pids[i]);
}
