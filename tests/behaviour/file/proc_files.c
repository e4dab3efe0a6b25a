/* SPDX-License-Identifier: Apache-2.0 */
/* Files of /proc: of the process itself, of its child, of the machine; positions stay. */
#include "behave.h"
#include "stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic int *stage;

static void child(void *unused)
{
	stage_ready(stage);
}

static int open_of(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return SYS(open(path, O_RDONLY));
}

BEHAVE("open files of /proc")
{
	int status, maps, uptime, dir;
	char buf[4096] = "", word[32];
	pid_t pid;

	stage = stage_new();
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	status = SYS(open("/proc/self/status", O_RDONLY));
	maps = open_of(pid, "maps");
	dir = open_of(pid, "task");
	uptime = SYS(open("/proc/uptime", O_RDONLY));
	MUST(lseek(status, 6, SEEK_SET) == 6);
	FREEZE();
	CHECK_EQ(lseek(status, 0, SEEK_CUR), 6);
	CHECK(pread(status, buf, sizeof(buf) - 1, 0) > 0, "read: %m");
	snprintf(word, sizeof(word), "\nPid:\t%d\n", (int)getpid());
	CHECK(strstr(buf, word), "status is another process's: %.200s", buf);
	memset(buf, 0, sizeof(buf));
	CHECK(read(maps, buf, sizeof(buf) - 1) > 0 && strstr(buf, "r-xp"), "maps: %.200s", buf);
	CHECK(read(uptime, buf, sizeof(buf) - 1) > 0 && atof(buf) > 0, "uptime: %.40s", buf);
	snprintf(word, sizeof(word), "%d/comm", (int)pid);
	CHECK(faccessat(dir, word, F_OK, 0) == 0, "the task directory: %m");
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(pread(maps, buf, sizeof(buf) - 1, 0) <= 0, "the maps of a process that has ended");
}
