/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc shows of a process image: exe, auxv, command line and environment (which the process
 * has changed in place), and the addresses in stat.
 */
#include "maps.h"

#include <fcntl.h>
#include <unistd.h>

struct seen {
	char exe[512], auxv[1024], cmdline[4096], environ[16384];
	ssize_t nexe, nauxv, ncmdline, nenviron;
	unsigned long stat[64];
};

static ssize_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, size);

	MUST(fd >= 0 && n >= 0);
	close(fd);
	return n;
}

static void look(struct seen *s)
{
	char line[2048];
	char *next;

	memset(s, 0, sizeof(*s));
	s->nexe = readlink("/proc/self/exe", s->exe, sizeof(s->exe));
	s->nauxv = slurp("/proc/self/auxv", s->auxv, sizeof(s->auxv));
	s->ncmdline = slurp("/proc/self/cmdline", s->cmdline, sizeof(s->cmdline));
	s->nenviron = slurp("/proc/self/environ", s->environ, sizeof(s->environ));
	MUST(slurp("/proc/self/stat", line, sizeof(line) - 1) > 0);
	next = strrchr(line, ')') + 4;
	for (int field = 4; field <= 52; field++)
		s->stat[field] = strtoul(next, &next, 10);
}

BEHAVE("exe, auxv, cmdline, environ and stat")
{
	/* startcode endcode startstack, start_data end_data start_brk arg and env bounds */
	static const int addresses[] = {26, 27, 28, 45, 46, 47, 48, 49, 50, 51};
	static struct seen before, after;

	program_invocation_name[0] = '#'; /* argv[0] itself */
	MUST(setenv("BEHAVE_LATE", "not in the first environment", 1) == 0);
	look(&before);
	MUST(before.nexe > 0 && before.cmdline[0] == '#' && before.stat[26] > 0);
	FREEZE();
	look(&after);
	CHECK(before.nexe == after.nexe && memcmp(before.exe, after.exe, sizeof(after.exe)) == 0,
	      "exe is %s, was %s", after.exe, before.exe);
	CHECK(before.nauxv == after.nauxv &&
		      memcmp(before.auxv, after.auxv, sizeof(after.auxv)) == 0,
	      "auxv differs");
	CHECK(before.ncmdline == after.ncmdline &&
		      memcmp(before.cmdline, after.cmdline, sizeof(after.cmdline)) == 0,
	      "cmdline is %s, was %s", after.cmdline, before.cmdline);
	CHECK(before.nenviron == after.nenviron &&
		      memcmp(before.environ, after.environ, sizeof(after.environ)) == 0,
	      "environ differs");
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		CHECK(before.stat[addresses[i]] == after.stat[addresses[i]],
		      "field %d of stat is %lx, was %lx", addresses[i], after.stat[addresses[i]],
		      before.stat[addresses[i]]);
	CHECK(strcmp(getenv("BEHAVE_LATE"), "not in the first environment") == 0, "getenv");
}
