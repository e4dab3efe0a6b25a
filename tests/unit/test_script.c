/* SPDX-License-Identifier: Apache-2.0 */
/* Action scripts: order, environment, descriptors, failures; and the pidfile. */
#include "engine/pidfile.h"
#include "engine/script.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/vec.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char tmp[] = "/tmp/torpor-script-XXXXXX";
static struct img_dir dir;

static const char *in_tmp(const char *name)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", tmp, name);
	return path[turn];
}

static void write_script(const char *name, const char *body)
{
	auto_close int fd = open(in_tmp(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, "#!/bin/sh\n", 10), 0);
	assert_int_equal(io_write_full(fd, body, strlen(body)), 0);
}

/* Runs the scripts with the log in a file, and returns what they wrote there. */
static char *run(const char *const *names, pid_t pid, int *ret, struct err *err)
{
	struct options o = OPTIONS_DEFAULT;
	char *text;
	int log = open(in_tmp("log"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	for (; *names; names++)
		*vec_push(&o.scripts) = strdup(in_tmp(*names));
	log_set_fd(log);
	*ret = scripts_run(&o, &dir, SCRIPT_POST_DUMP, pid, err);
	log_set_fd(-1);
	vec_foreach (s, &o.scripts)
		free((char *)*s);
	vec_done(&o.scripts);
	close(log);
	assert_int_equal(io_read_file(AT_FDCWD, in_tmp("log"), &text, NULL), 0);
	return text;
}

static void test_order_and_environment(void **state)
{
	static const char *const names[] = {"first", "second", NULL};
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	char expected[256];
	int ret;

	setenv("CRTOOLS_INIT_PID", "stale", 1);
	write_script("first", "echo 1 $CRTOOLS_SCRIPT_ACTION $CRTOOLS_INIT_PID\n");
	write_script("second", "echo 2 $CRTOOLS_IMAGE_DIR; test -d $CRTOOLS_IMAGE_DIR/ && pwd\n");
	text = run(names, 812, &ret, &err);
	assert_int_equal(ret, 0);
	snprintf(expected, sizeof(expected), "2 /proc/%d/fd/%d\n%s\n1 post-dump 812\n",
		 (int)getpid(), dir.fd, tmp);
	assert_string_equal(text, expected);
}

static void test_no_pid_yet(void **state)
{
	static const char *const names[] = {"first", NULL};
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	int ret;

	write_script("first", "echo ${CRTOOLS_INIT_PID-none}\n");
	text = run(names, 0, &ret, &err);
	assert_int_equal(ret, 0);
	assert_string_equal(text, "none\n");
}

static void test_descriptors(void **state)
{
	static const char *const names[] = {"first", NULL};
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	int stray = open("/", O_PATH); /* without O_CLOEXEC */
	char body[256];
	int ret;

	/* The shell has its script open, at 10 or above; stdin isn't there. */
	snprintf(body, sizeof(body),
		 "test -e /proc/$$/fd/0 && echo stdin; test -e /proc/$$/fd/%d && echo stray\n"
		 "readlink /proc/$$/fd/1; readlink /proc/$$/fd/2\n",
		 stray);
	write_script("first", body);
	text = run(names, 0, &ret, &err);
	close(stray);
	assert_int_equal(ret, 0);
	assert_null(strstr(text, "stray"));
	assert_null(strstr(text, "stdin"));
	assert_non_null(strstr(text, in_tmp("log")));
}

/* All run to their end; the first that failed is named. */
static void test_failures(void **state)
{
	static const char *const names[] = {"good", "missing", "bad", NULL};
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	int ret;

	write_script("good", "echo ran\n");
	write_script("bad", "exit 7\n");
	text = run(names, 0, &ret, &err);
	assert_true(ret < 0);
	assert_string_equal(text, "ran\n");
	assert_non_null(strstr(err.text, "/bad (post-dump)"));
	assert_non_null(strstr(err.text, "status 7"));
}

static void test_missing(void **state)
{
	static const char *const names[] = {"nowhere", NULL};
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	int ret;

	text = run(names, 0, &ret, &err);
	assert_true(ret < 0);
	assert_non_null(strstr(err.text, "nowhere"));
}

static void test_killed(void **state)
{
	static const char *const names[] = {"first", NULL};
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	int ret;

	write_script("first", "kill -9 $$\n");
	text = run(names, 0, &ret, &err);
	assert_true(ret < 0);
	assert_non_null(strstr(err.text, "signal 9"));
}

static void test_pidfile(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	struct stat st;

	assert_int_equal(pidfile_write(&dir, "pid", 4711, &err), 0);
	assert_int_equal(io_read_file(dir.work_fd, "pid", &text, NULL), 0);
	assert_string_equal(text, "4711");
	assert_int_equal(fstatat(dir.work_fd, "pid", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(pidfile_write(&dir, "pid", 4712, &err), -EEXIST);
	pidfile_remove(&dir, "pid");
	assert_int_equal(fstatat(dir.work_fd, "pid", &st, 0), -1);
}

static int make_dir(void **state)
{
	if (!mkdtemp(tmp) || chdir(tmp) < 0)
		return -1;
	umask(022);
	dir.path = tmp;
	dir.fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir.work_fd = dir.fd;
	return dir.fd < 0;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"first", "second", "good", "bad", "log"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(in_tmp(names[i]));
	close(dir.fd);
	return rmdir(tmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_environment),
		cmocka_unit_test(test_no_pid_yet),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_pidfile),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
