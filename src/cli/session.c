/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "cli/binary_log.h"
#include "image/sums.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

enum { FIRST_FD = 3 };

void session_guard_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < FIRST_FD);
	fd_close(fd);
}

static int open_dirs(const struct options *o, struct img_dir *dir, struct err *err)
{
	dir->path = o->images_dir;
	dir->fd = open(o->images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return err_sys(err, -errno, "images directory %s", o->images_dir);
	dir->work_fd = o->work_dir ? open(o->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				   : fd_dup_above(dir->fd, FIRST_FD);
	if (dir->work_fd < 0)
		return err_sys(err, o->work_dir ? -errno : dir->work_fd, "work directory %s",
			       o->work_dir ? o->work_dir : o->images_dir);
	if (fchdir(dir->work_fd) < 0)
		return err_sys(err, -errno, "chdir to the work directory %s",
			       o->work_dir ? o->work_dir : o->images_dir);
	return 0;
}

/*
 * O_TRUNC and not a new file: labels and owner that a caller has prepared stay. O_APPEND:
 * scripts write to it, too.
 */
static int open_log(const struct options *o, int *ret_fd, struct err *err)
{
	if (!o->log_file)
		return 0;
	if (strcmp(o->log_file, "-") == 0)
		*ret_fd = fd_dup_above(STDOUT_FILENO, FIRST_FD);
	else
		*ret_fd = open(o->log_file, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC,
			       0600);
	if (*ret_fd < 0)
		return err_sys(err, strcmp(o->log_file, "-") == 0 ? *ret_fd : -errno, "log file %s",
			       o->log_file);
	log_set_fd(*ret_fd);
	if (strcmp(o->log_file, "-") != 0)
		binary_log_begin(o, *ret_fd);
	return 0;
}

static void log_head(struct options *o)
{
	auto_free char *uuid = NULL;
	struct utsname u;

	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/uuid", &uuid, NULL) == 0)
		str_copy(o->run_id, sizeof(o->run_id), uuid);
	log_info("Run id: %s", o->run_id);
	log_info("Version: 4.2 (torpor %s)", TORPOR_VERSION);
	if (uname(&u) == 0)
		log_info("Running on %s %s %s %s %s", u.nodename, u.sysname, u.release, u.version,
			 u.machine);
}

int session_open(struct options *o, struct session *s, struct err *err)
{
	*s = (struct session){.dir = {.fd = -EBADF, .work_fd = -EBADF}, .log_fd = -EBADF};
	s->dir.sums = o->no_verify ? NULL : img_sums_new();
	TRY(open_dirs(o, &s->dir, err));
	TRY(open_log(o, &s->log_fd, err));
	log_head(o);
	return 0;
}

void session_close(struct session *s)
{
	binary_log_end();
	log_set_fd(-1);
	s->log_fd = fd_close(s->log_fd);
	s->dir.work_fd = fd_close(s->dir.work_fd);
	s->dir.fd = fd_close(s->dir.fd);
	img_sums_free(s->dir.sums);
	s->dir.sums = NULL;
}

static void report(const struct err *err)
{
	if (err->hint[0])
		log_error("%s; %s", err->text, err->hint);
	else
		log_error("%s", err->text);
}

void session_report(const struct err *err)
{
	int fd = log_fd();

	if (fd != STDERR_FILENO && log_level() >= LOG_ERROR) {
		binary_log_print_last(fd);
		binary_log_print_last(STDERR_FILENO);
	}
	report(err);
	if (fd == STDERR_FILENO)
		return;
	log_pause_binary(true);
	log_set_fd(-1);
	report(err);
	log_set_fd(fd);
	log_pause_binary(false);
}

/* LOG_NONE as the line's own level: without the prefix of errors, of which there is just one. */
void session_status(bool good, const char *text)
{
	if (log_level() >= (good ? LOG_INFO : LOG_ERROR))
		log_at(LOG_NONE, "%s", text);
}
