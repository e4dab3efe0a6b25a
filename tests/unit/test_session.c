/* SPDX-License-Identifier: Apache-2.0 */
/* Directories, the log, and how an error is reported. */
#include "cli/session.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char tmp[] = "/tmp/torpor-session-XXXXXX";
static char images[64];
static char work[64];

static const char *in_tmp(const char *name)
{
	static char path[4][128];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", tmp, name);
	return path[turn];
}

/* Opens a session with images/ and work/, reports an error in it; returns what stderr got. */
static char *report(struct options *o, const struct err *problem)
{
	struct session s;
	struct err err = ERR_INIT;
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int fd = open(in_tmp("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *text;
	int r;

	dup2(fd, STDERR_FILENO);
	close(fd);
	r = session_open(o, &s, &err);
	if (r == 0) {
		session_report(problem);
		session_status(false, "Dumping FAILED.");
		session_close(&s);
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(r, 0);
	assert_int_equal(io_read_file(AT_FDCWD, in_tmp("stderr"), &text, NULL), 0);
	return text;
}

static void test_report(void **state)
{
	struct options o = OPTIONS_DEFAULT;
	struct err problem = ERR_INIT;
	auto_free char *on_stderr = NULL;
	auto_free char *in_log = NULL;
	struct stat st;

	o.images_dir = images;
	o.work_dir = work;
	o.log_file = "dump.log";
	(void)err_refuse(&problem, "close it", "pid 1 (init): fd 3: too odd");
	on_stderr = report(&o, &problem);
	assert_int_equal(io_read_file(AT_FDCWD, in_tmp("work/dump.log"), &in_log, NULL), 0);
	assert_non_null(strstr(in_log, "Error (cli/session.c:"));
	assert_non_null(strstr(in_log, "): pid 1 (init): fd 3: too odd; close it\n"));
	assert_non_null(strstr(in_log, "\nDumping FAILED.\n"));
	/* One line for people; the log has the rest. */
	assert_ptr_equal(strchr(on_stderr, '\n'), on_stderr + strlen(on_stderr) - 1);
	assert_non_null(strstr(on_stderr, "Error (cli/session.c:"));
	assert_int_equal(stat(in_tmp("work/dump.log"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* What an earlier run wrote goes, but the file is the same: labels and owner stay. */
static void test_log_is_reused(void **state)
{
	struct options o = OPTIONS_DEFAULT;
	struct err problem = ERR_INIT;
	auto_free char *on_stderr = NULL;
	auto_free char *in_log = NULL;
	struct stat before;
	struct stat after;

	o.images_dir = images;
	o.log_file = "dump.log";
	(void)err_input(&problem, "first");
	free(report(&o, &problem));
	assert_int_equal(stat(in_tmp("images/dump.log"), &before), 0);
	problem = ERR_INIT;
	(void)err_input(&problem, "second");
	on_stderr = report(&o, &problem);
	assert_int_equal(stat(in_tmp("images/dump.log"), &after), 0);
	assert_int_equal(io_read_file(AT_FDCWD, in_tmp("images/dump.log"), &in_log, NULL), 0);
	assert_true(before.st_ino == after.st_ino);
	assert_null(strstr(in_log, "first"));
	assert_non_null(strstr(in_log, "second"));
}

static void test_without_log(void **state)
{
	struct options o = OPTIONS_DEFAULT;
	struct err problem = ERR_INIT;
	auto_free char *on_stderr = NULL;

	o.images_dir = images;
	(void)err_input(&problem, "only once");
	on_stderr = report(&o, &problem);
	assert_non_null(strstr(on_stderr, "only once\nDumping FAILED.\n"));
	assert_null(strstr(strstr(on_stderr, "once") + 1, "once"));
}

static void test_missing_dirs(void **state)
{
	struct options o = OPTIONS_DEFAULT;
	struct session s;
	struct err err = ERR_INIT;

	o.images_dir = "/nonexistent/images";
	assert_int_equal(session_open(&o, &s, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/images"));
	session_close(&s);
	err = ERR_INIT;
	o.images_dir = tmp;
	o.work_dir = "/nonexistent/work";
	assert_int_equal(session_open(&o, &s, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/work"));
	session_close(&s);
	err = ERR_INIT;
	o.work_dir = NULL;
	o.log_file = "missing/dump.log";
	assert_int_equal(session_open(&o, &s, &err), -ENOENT);
	assert_non_null(strstr(err.text, "missing/dump.log"));
	session_close(&s);
}

static int make_dirs(void **state)
{
	log_init(LOG_WARN);
	umask(022);
	if (!mkdtemp(tmp))
		return -1;
	snprintf(images, sizeof(images), "%s/images", tmp);
	snprintf(work, sizeof(work), "%s/work", tmp);
	return mkdir(images, 0700) < 0 || mkdir(work, 0700) < 0;
}

static int remove_dirs(void **state)
{
	unlink(in_tmp("images/dump.log"));
	unlink(in_tmp("work/dump.log"));
	unlink(in_tmp("stderr"));
	rmdir(images);
	rmdir(work);
	return rmdir(tmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_log_is_reused),
		cmocka_unit_test(test_without_log),
		cmocka_unit_test(test_missing_dirs),
	};

	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
