/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pidfile.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <string.h>

int pidfile_write(const struct img_dir *dir, const char *path, pid_t pid, struct err *err)
{
	auto_close int fd = -EBADF;
	char text[24];
	int r;

	fd = openat(dir->work_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_sys(err, -errno, "pidfile %s", path);
		return err->code == -EEXIST ? err_hint(err, "remove it, or give another name")
					    : err->code;
	}
	snprintf(text, sizeof(text), "%d", (int)pid);
	r = io_write_full(fd, text, strlen(text));
	if (r < 0) {
		pidfile_remove(dir, path);
		return err_sys(err, r, "write pidfile %s", path);
	}
	return 0;
}

void pidfile_remove(const struct img_dir *dir, const char *path)
{
	if (unlinkat(dir->work_fd, path, 0) < 0)
		log_warn("pidfile %s can't be removed: %s", path, strerror(errno));
}
