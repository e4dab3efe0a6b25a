/* SPDX-License-Identifier: Apache-2.0 */
/* Summary: the files of the directory and their sizes, by kind. */
#include "inspect/summary.h"

#include "base/auto.h"
#include "base/parse.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* "core-12.img" is of kind "core", "pagemap-shmem-3.img" of "pagemap-shmem", "stats-dump" of that.
 */
static bool kind_of(const char *name, char kind[IMG_NAME_MAX])
{
	size_t len = strlen(name);
	const char *dash;

	if (strncmp(name, "stats-", 6) == 0) {
		str_copy(kind, IMG_NAME_MAX, name);
		return true;
	}
	if (!str_ends(name, ".img") || len - 4 >= IMG_NAME_MAX)
		return false;
	str_copy(kind, IMG_NAME_MAX, name);
	kind[len - 4] = 0;
	dash = strrchr(kind, '-');
	/* Ids are numbers; some are hexadecimal, as no word behind a dash is. */
	if (dash && dash[1] && strspn(dash + 1, "0123456789abcdef") == strlen(dash + 1))
		kind[dash - kind] = 0;
	return true;
}

static void add_file(json_t *kinds, const char *kind, const struct stat *st)
{
	json_t *row = json_object_get(kinds, kind);

	if (!row) {
		row = json_object();
		if (json_object_set_new(kinds, kind, row) < 0)
			return; /* not UTF-8: none of ours */
	}
	json_count(row, "files", 1);
	json_count(row, "bytes", st->st_size);
}

void summary_images(struct summary *s, int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	json_t *kinds = json_object(), *to = json_object();
	char kind[IMG_NAME_MAX];
	struct stat st;

	json_object_set_new(s->out, "images", to);
	json_object_set_new(to, "kinds", kinds);
	if (!d) {
		fd_close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (!kind_of(e->d_name, kind) ||
		    fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		add_file(kinds, kind, &st);
		json_count(to, "files", 1);
		json_count(to, "bytes", st.st_size);
		json_count(to, "disk_bytes", (json_int_t)st.st_blocks * 512);
	}
}
