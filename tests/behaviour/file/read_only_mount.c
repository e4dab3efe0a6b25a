/* SPDX-License-Identifier: Apache-2.0 */
/* Files, directories and a mapping on a read-only bind mount. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* On the host it would be everybody's mount. */
BEHAVE("files on a read-only mount", .flavours = NS)
{
	int fd, dir;
	char buf[16] = "", *map;

	MUST(mkdir("under", 0755) == 0 && mkdir("ro", 0755) == 0);
	fd = SYS(open("under/file", O_CREAT | O_WRONLY, 0644));
	MUST(write(fd, "read me", 7) == 7);
	close(fd);
	MUST(mount("under", "ro", NULL, MS_BIND, NULL) == 0);
	MUST(mount(NULL, "ro", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
	fd = SYS(open("ro/file", O_RDONLY));
	dir = SYS(open("ro", O_RDONLY | O_DIRECTORY));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(map != MAP_FAILED && lseek(fd, 5, SEEK_SET) == 5);
	map[100] = 'm';
	FREEZE();
	CHECK(read(fd, buf, 15) == 2, "read: %m");
	CHECK_STR(buf, "me");
	CHECK(memcmp(map, "read me", 7) == 0 && map[100] == 'm', "the mapping");
	CHECK(openat(dir, "file", O_RDWR) < 0 && errno == EROFS, "it can be written: %m");
	CHECK(openat(dir, "file", O_RDONLY) >= 0, "openat: %m");
	CHECK(umount2("ro", MNT_DETACH) == 0, "umount: %m");
}
