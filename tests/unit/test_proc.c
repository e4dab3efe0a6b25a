/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of procfs text, on files as the kernel may write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "kernel/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file whose path is valid as long as it is open. */
static int text_file(const char *text, char *path, size_t size)
{
	int fd = memfd_create("proc", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static void stat_with_a_nasty_name(void **state)
{
	char path[40];
	auto_close int fd = text_file(
		"812 (a) b (c) S 1 812 813 34816 900 4194304 100 0 0 0 1 2 0 0 20 -5 3 0 12345 "
		"1000 200 18446744073709551615 4096 8192 140736000000000 0 0 0 0 0 0 0 0 0 17 1 "
		"7 2 0 0 0 11 12 13 14 15 16 17 256\n",
		path, sizeof(path));
	struct proc_stat s;

	assert_int_equal(proc_read_stat(AT_FDCWD, path, &s), 0);
	assert_string_equal(s.comm, "a) b (c");
	assert_int_equal(s.pid, 812);
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.ppid, 1);
	assert_int_equal(s.sid, 813);
	assert_int_equal(s.nice, -5);
	assert_int_equal(s.num_threads, 3);
	assert_int_equal(s.start_time, 12345);
	assert_int_equal(s.start_code, 4096);
	assert_int_equal(s.start_stack, 140736000000000);
	assert_int_equal(s.policy, 2);
	assert_int_equal(s.start_data, 11);
	assert_int_equal(s.env_end, 17);
	assert_int_equal(s.exit_code, 256);
}

static void damaged_stat_is_an_error(void **state)
{
	static const char *const texts[] = {"",		"812",		 "812 (a",
					    "812 (a) ", "812 (a) S 1 2", "x (a) S"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char path[40];
		auto_close int fd = text_file(texts[i], path, sizeof(path));
		struct proc_stat s;

		assert_int_equal(proc_read_stat(AT_FDCWD, path, &s), -EINVAL);
	}
}

static void lines_of_any_length(void **state)
{
	static char text[100000];
	auto_lines struct proc_lines l = PROC_LINES_INIT;
	auto_close int fd = -EBADF;
	char path[40], *line;

	memset(text, 'x', sizeof(text) - 1);
	text[10] = text[70000] = '\n';
	fd = text_file(text, path, sizeof(path));
	assert_int_equal(proc_lines_open(&l, AT_FDCWD, path), 0);
	assert_int_equal(proc_lines_next(&l, &line), 1);
	assert_int_equal(strlen(line), 10);
	assert_int_equal(proc_lines_next(&l, &line), 1);
	assert_int_equal(strlen(line), 69989);
	assert_int_equal(proc_lines_next(&l, &line), 1); /* without a newline */
	assert_int_equal(strlen(line), 29998);
	assert_int_equal(proc_lines_next(&l, &line), 0);
}

static void fields_by_name(void **state)
{
	const char *text =
		"Name:\tinit\nPid:\t7\nNSpid:\t812\t44\t5\nSigCgt:\t00000000000000ff\nNSp:\t\n";
	uint64_t v = 9;
	size_t n;

	assert_true(proc_field_u64(text, "Pid", 10, &v));
	assert_int_equal(v, 7);
	assert_true(proc_field_u64(text, "SigCgt", 16, &v));
	assert_int_equal(v, 255);
	assert_false(proc_field_u64(text, "Name", 10, &v));
	assert_null(proc_field(text, "id"));
	assert_true(proc_field_last(text, "NSpid", &v, &n));
	assert_int_equal(v, 5);
	assert_int_equal(n, 3);
	assert_false(proc_field_last(text, "NSp", &v, &n));
	assert_int_equal(v, 5); /* untouched */
}

static void mapping_lines(void **state)
{
	struct proc_map m;

	assert_int_equal(proc_parse_map("7f0000001000-7f0000003000 r-xp 00002000 fe:01 332383     "
					"                /usr/lib/with blank.so (deleted)",
					&m),
			 0);
	assert_int_equal(m.start, 0x7f0000001000);
	assert_int_equal(m.end, 0x7f0000003000);
	assert_int_equal(m.pgoff, 0x2000);
	assert_int_equal(m.dev_major, 0xfe);
	assert_int_equal(m.ino, 332383);
	assert_string_equal(m.perms, "r-xp");
	assert_string_equal(m.name, "/usr/lib/with blank.so (deleted)");
	assert_int_equal(proc_parse_map("1000-2000 rw-p 00000000 00:00 0 ", &m), 0);
	assert_string_equal(m.name, "");
	assert_true(proc_parse_map("1000 rw-p", &m) < 0);
}

static void lists_of_ids(void **state)
{
	auto_ids struct proc_ids ids = {0};
	bool found = false;
	auto_close int proc = proc_open(getpid());

	assert_true(proc >= 0);
	assert_int_equal(proc_list_dir(proc, "task", &ids), 0);
	vec_foreach (id, &ids)
		found |= *id == getpid();
	assert_true(found);
	assert_true(proc_is_gone(proc_open(0x7ffffff0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_with_a_nasty_name),
		cmocka_unit_test(damaged_stat_is_an_error),
		cmocka_unit_test(lines_of_any_length),
		cmocka_unit_test(fields_by_name),
		cmocka_unit_test(mapping_lines),
		cmocka_unit_test(lists_of_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
