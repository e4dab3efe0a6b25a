/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc shows of a descriptor: file/fd.c. */
#include "file/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_plain(void **state)
{
	struct fdinfo i;

	assert_int_equal(fdinfo_parse("pos:\t42\nflags:\t0102001\nmnt_id:\t27\nino:\t5\n", &i), 0);
	assert_int_equal(i.pos, 42);
	assert_int_equal(i.flags, KERNEL_O_LARGEFILE | O_APPEND | O_WRONLY);
	assert_false(i.cloexec);
	assert_int_equal(i.mnt_id, 27);
}

/* The flag of the descriptor is shown among those of the description: only there it must go. */
static void test_cloexec(void **state)
{
	struct fdinfo i;

	assert_int_equal(fdinfo_parse("pos:\t0\nflags:\t02100002\n", &i), 0);
	assert_true(i.cloexec);
	assert_int_equal(i.flags, KERNEL_O_LARGEFILE | O_RDWR);
	assert_int_equal(i.mnt_id, -1);
}

static void test_huge_position(void **state)
{
	struct fdinfo i;

	assert_int_equal(fdinfo_parse("pos:\t18446744073709551615\nflags:\t00\n", &i), 0);
	assert_true(i.pos == UINT64_MAX);
}

static void test_broken(void **state)
{
	static const char *const broken[] = {
		"",
		"pos:\t0\n",
		"flags:\t0\n",
		"pos:\t-1\nflags:\t0\n",
		"pos:\t18446744073709551616\nflags:\t0\n",
		"pos:\t0\nflags:\t9\n",
		"pos:\t0\nflags:\t0777777777777\n",
		"xpos:\t0\nxflags:\t0\n",
	};
	struct fdinfo i;

	for (size_t k = 0; k < sizeof(broken) / sizeof(broken[0]); k++)
		assert_int_equal(fdinfo_parse(broken[k], &i), -EINVAL);
}

static void test_field(void **state)
{
	const char *text = "pos:\t0\neventfd-count:            1f\neventfd-semaphore: 1\n";

	assert_memory_equal(fdinfo_field(text, "eventfd-count"), "1f\n", 3);
	assert_memory_equal(fdinfo_field(text, "eventfd-semaphore"), "1\n", 2);
	assert_null(fdinfo_field(text, "eventfd"));
	assert_null(fdinfo_field(text, "count"));
	assert_null(fdinfo_field("", "pos"));
}

/* A new description of the same inode: own position, flags as asked. */
static void test_reopen(void **state)
{
	char name[] = "/tmp/test-reopen-XXXXXX";
	auto_close int fd = mkstemp(name);
	auto_close int again = fd_reopen(fd, O_RDONLY | O_APPEND);
	auto_close int path = fd_reopen(fd, O_PATH);
	auto_close int from_path = fd_reopen(path, O_RDWR);
	char buf[4] = "";

	unlink(name);
	assert_true(fd >= 0 && again >= 0 && path >= 0 && from_path >= 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(read(again, buf, 3), 3);
	assert_string_equal(buf, "abc");
	assert_int_equal(fcntl(again, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDONLY | O_APPEND);
	assert_true(fcntl(again, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(lseek(from_path, 0, SEEK_CUR), 0);
}

static void test_common_flags(void **state)
{
	const struct fown nobody = {0}, us = {.uid = getuid(),
					      .euid = geteuid(),
					      .signum = 12,
					      .pid_type = F_OWNER_PID,
					      .pid = (uint32_t)getpid()};
	struct f_owner_ex ex;
	struct err err = ERR_INIT;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(fd_restore_common(p[0], O_RDONLY | O_ASYNC, &us, &err), 0);
	/* O_ASYNC is the task's to set. */
	assert_int_equal(fcntl(p[0], F_GETFL) & (O_NONBLOCK | O_ASYNC), 0);
	assert_int_equal(fcntl(p[0], F_GETSIG), 12);
	assert_int_equal(fcntl(p[0], F_GETOWN_EX, &ex), 0);
	assert_int_equal(ex.pid, getpid());
	assert_int_equal(fd_restore_common(p[1], O_WRONLY | O_NONBLOCK, &nobody, &err), 0);
	assert_int_equal(fcntl(p[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fd_restore_common(-1, O_PATH, &nobody, &err), 0);
	assert_true(fd_restore_common(-1, O_RDONLY, &nobody, &err) < 0);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	     cmocka_unit_test(test_cloexec),
		cmocka_unit_test(test_broken),	     cmocka_unit_test(test_huge_position),
		cmocka_unit_test(test_field),	     cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_common_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
