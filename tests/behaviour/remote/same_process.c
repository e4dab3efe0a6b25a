/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Left running after a dump, a process is what it was, to the last mapping and descriptor: no
 * scratch memory, no descriptor, no tracer, no changed mask or handler stays behind.
 */
#include "behave.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = {"maps",    "limits", "auxv",       "cmdline",
				    "environ", "timers", "personality"};
static const char *const fields[] = {"TracerPid", "Threads", "SigPnd", "ShdPnd",
				     "SigBlk",	  "SigIgn",  "SigCgt", "Seccomp"};
enum { FILES = sizeof(files) / sizeof(files[0]), FIELDS = sizeof(fields) / sizeof(fields[0]) };

struct state {
	char files[FILES][65536], fields[FIELDS][256], fds[4096];
	long long start;
};

static void list_descriptors(char *text, size_t size)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *e;
	size_t n = 0;

	MUST(dir);
	while ((e = readdir(dir))) {
		char where[256];
		ssize_t len = readlinkat(dirfd(dir), e->d_name, where, sizeof(where));

		if (len > 0)
			n += (size_t)snprintf(text + n, size - n, "%s %.*s; ", e->d_name, (int)len,
					      where);
	}
	closedir(dir);
}

/* Into memory that is there already: what is compared must not change by the comparison. */
static void read_into(const char *path, char *text, size_t size)
{
	int fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
	ssize_t n;

	while ((n = read(fd, text, size)) > 0) {
		text += n;
		size -= (size_t)n;
	}
	SYS(close(fd));
}

static void get(struct state *s)
{
	char path[64];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		if (access(path, R_OK) == 0)
			read_into(path, s->files[i], sizeof(s->files[i]));
	}
	for (int i = 0; i < FIELDS; i++)
		snprintf(s->fields[i], sizeof(s->fields[i]), "%s",
			 behave_proc_status("self", fields[i]));
	list_descriptors(s->fds, sizeof(s->fds));
	s->start = behave_proc_stat("self", 22);
}

BEHAVE("a process left running is what it was", .modes = LEAVE_RUNNING)
{
	static struct state warm_up, before, after;

	get(&warm_up); /* the heap grows here, not later */
	get(&before);
	FREEZE();
	get(&after);
	CHECK_EQ(after.start, before.start);
	for (int i = 0; i < FILES; i++)
		CHECK(!memcmp(after.files[i], before.files[i], sizeof(after.files[i])),
		      "/proc/self/%s has changed:\n%s", files[i], after.files[i]);
	for (int i = 0; i < FIELDS; i++)
		CHECK(!strcmp(after.fields[i], before.fields[i]), "%s is %s, not %s", fields[i],
		      after.fields[i], before.fields[i]);
	CHECK_STR(after.fds, before.fds);
}
