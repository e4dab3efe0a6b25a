/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose executable was deleted: /proc/self/exe says so, and its code can still run. */
#include "behave.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static void become_copy(void)
{
	int from = SYS(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	int to = SYS(open("copy", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	char *argv[] = {(char[]){"copy"}, NULL};

	while (SYS(sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	close(to);
	execv("copy", argv);
	MUST(!"execv");
}

BEHAVE("a deleted executable")
{
	char exe[512] = "", before[512] = "";
	struct stat st;

	SYS(readlink("/proc/self/exe", exe, sizeof(exe) - 1));
	if (strcmp(strrchr(exe, '/'), "/copy") != 0)
		become_copy();
	MUST(unlink("copy") == 0);
	SYS(readlink("/proc/self/exe", before, sizeof(before) - 1));
	MUST(strstr(before, " (deleted)"));
	FREEZE();
	memset(exe, 0, sizeof(exe));
	CHECK(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0, "readlink: %m");
	CHECK(strcmp(exe + strlen(exe) - 10, " (deleted)") == 0, "exe is %s, was %s", exe, before);
	CHECK(stat("/proc/self/exe", &st) == 0 && st.st_nlink == 0 && (st.st_mode & 0111),
	      "the executable isn't one");
	CHECK(access("copy", F_OK) < 0, "it has its name back");
}
