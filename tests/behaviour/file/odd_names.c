/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that look like something else: ending in " (deleted)" (an existing file, a deleted one, and
 * a mapping), with a line feed, a backslash, blanks, UTF-8, and as long as a name can be.
 */
#include "behave.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char longest[256];
static const char *const names[] = {
	"there (deleted)",    "two\nlines",   "back\\slash \\012", " blanks ",
	"gr\xc3\xbc\xc3\x9f", "socket:[123]", "pipe:[9]",	   longest};
enum { N = sizeof(names) / sizeof(names[0]) };

BEHAVE("files with odd names")
{
	int fds[N], gone = SYS(open("gone (deleted)", O_CREAT | O_RDWR, 0600));
	char *maps[N], buf[8] = "";
	struct stat st, by_name;

	memset(longest, 'l', sizeof(longest) - 1);
	for (size_t i = 0; i < N; i++) {
		fds[i] = SYS(open(names[i], O_CREAT | O_EXCL | O_RDWR, 0644));
		MUST(write(fds[i], names[i], 4) == 4);
		maps[i] = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[i], 0);
		MUST(maps[i] != MAP_FAILED);
	}
	MUST(write(gone, "gone", 4) == 4 && unlink("gone (deleted)") == 0);
	FREEZE();
	for (size_t i = 0; i < N; i++) {
		CHECK(fstat(fds[i], &st) == 0 && stat(names[i], &by_name) == 0 &&
			      st.st_ino == by_name.st_ino,
		      "'%s' is another file", names[i]);
		CHECK(lseek(fds[i], 0, SEEK_CUR) == 4, "'%s': position", names[i]);
		CHECK(memcmp(maps[i], names[i], 4) == 0, "'%s': the mapping", names[i]);
	}
	CHECK(fstat(gone, &st) == 0 && st.st_nlink == 0, "the deleted file has a name");
	CHECK(pread(gone, buf, 7, 0) == 4 && memcmp(buf, "gone", 4) == 0, "it holds '%s'", buf);
}
