/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output_file.h"

#include "base/auto.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int output_file_open(struct output_file *o, const char *path)
{
	*o = (struct output_file){.fd = STDOUT_FILENO, .path = path};
	if (path && strcmp(path, "-") == 0)
		o->path = NULL;
	if (!o->path)
		return 0;
	if (is_special(path)) {
		o->fd = open(path, O_WRONLY | O_CLOEXEC);
		return o->fd < 0 ? -errno : 0;
	}
	if (asprintf(&o->temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	o->fd = mkostemp(o->temporary, O_CLOEXEC);
	if (o->fd >= 0)
		return 0;
	free(o->temporary);
	o->temporary = NULL;
	return -errno;
}

static mode_t usual_mode(const char *path)
{
	mode_t mask = umask(0);
	struct stat st;

	umask(mask);
	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0666 & ~mask;
}

int output_file_close(struct output_file *o, bool good, mode_t mode)
{
	int r = 0;

	if (o->temporary) {
		if (good && (fchmod(o->fd, mode ? mode : usual_mode(o->path)) < 0 ||
			     rename(o->temporary, o->path) < 0))
			r = -errno;
		if (!good || r < 0)
			unlink(o->temporary);
	}
	if (o->path && close(o->fd) < 0 && r == 0)
		r = -errno;
	free(o->temporary);
	return r;
}
