/* SPDX-License-Identifier: Apache-2.0 */
/* Files on overlayfs: from the lower layer, copied up, new, and deleted; with mappings. */
#include "behave.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void create(const char *name, const char *text)
{
	int fd = SYS(open(name, O_CREAT | O_WRONLY, 0644));

	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static char *map_file(int fd)
{
	char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* On the host it would be everybody's mount. */
BEHAVE("files on overlayfs", .flavours = NS)
{
	int lower, upper, new, deleted;
	char buf[16] = "", *lower_map, *new_map;

	MUST(mkdir("layers", 0755) == 0 && mkdir("merged", 0755) == 0);
	MUST(mount("tmpfs", "layers", "tmpfs", 0, NULL) == 0);
	MUST(mkdir("layers/lower", 0755) == 0 && mkdir("layers/upper", 0755) == 0 &&
	     mkdir("layers/work", 0755) == 0);
	create("layers/lower/below", "from below");
	create("layers/lower/changed", "as it was");
	create("layers/lower/deleted", "deleted");
	if (mount("overlay", "merged", "overlay", 0,
		  "lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work") < 0)
		behave_skip("no overlayfs here: %m");
	lower = SYS(open("merged/below", O_RDONLY));
	upper = SYS(open("merged/changed", O_RDWR));
	create("merged/new", "new");
	new = SYS(open("merged/new", O_RDWR | O_APPEND));
	deleted = SYS(open("merged/deleted", O_RDONLY));
	MUST(unlink("merged/deleted") == 0);
	MUST(write(upper, "is", 2) == 2);
	lower_map = map_file(lower);
	new_map = map_file(new);
	FREEZE();
	CHECK(memcmp(lower_map, "from below", 10) == 0 && memcmp(new_map, "new", 3) == 0,
	      "mappings");
	CHECK(read(lower, buf, 15) == 10, "the lower file: %m");
	CHECK_STR(buf, "from below");
	CHECK_EQ(lseek(upper, 0, SEEK_CUR), 2);
	CHECK(write(upper, "!", 1) == 1 && write(new, "!", 1) == 1, "write: %m");
	memset(buf, 0, sizeof(buf));
	CHECK(pread(SYS(open("merged/changed", O_RDONLY)), buf, 15, 0) == 9, "the copied file");
	CHECK_STR(buf, "is!it was");
	memset(buf, 0, sizeof(buf));
	CHECK(pread(SYS(open("merged/new", O_RDONLY)), buf, 15, 0) == 4, "the new file");
	CHECK_STR(buf, "new!");
	memset(buf, 0, sizeof(buf));
	CHECK(pread(deleted, buf, 15, 0) == 7, "the deleted file: %m");
	CHECK_STR(buf, "deleted");
	CHECK(access("merged/deleted", F_OK) < 0, "it has its name back");
	CHECK(umount2("merged", MNT_DETACH) == 0 && umount2("layers", MNT_DETACH) == 0,
	      "umount: %m");
}
