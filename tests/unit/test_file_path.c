/* SPDX-License-Identifier: Apache-2.0 */
/* Names of open files, deleted ones and those that only look so: file/path.c, file/plant.c. */
#include "base/auto.h"
#include "file/path.h"
#include "file/plant.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct arena *a;
	int root;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->dir, "/tmp/test-path-XXXXXX");
	x->a = arena_new();
	x->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = x;
	return mkdtemp(x->dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	int r = rmdir(x->dir); /* fails if a test left something */

	arena_free(x->a);
	close(x->root);
	free(x);
	return r;
}

/* What readlink shows of fd, and what path_find makes of it. */
static enum path_state find(struct fixture *x, int fd, const char **name)
{
	char link[64], shown[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, shown, sizeof(shown) - 1);
	assert_true(n > 0 && fstat(fd, &st) == 0);
	shown[n] = '\0';
	return path_find(x->root, shown, &st, x->a, name);
}

static const char *in(struct fixture *x, const char *name)
{
	return arena_printf(x->a, "%s/%s", x->dir, name);
}

static int make(struct fixture *x, const char *name)
{
	int fd = open(in(x, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void test_mark(void **state)
{
	assert_int_equal(path_deleted_len("/a (deleted)"), 2);
	assert_int_equal(path_deleted_len("/a"), 0);
	assert_int_equal(path_deleted_len(" (deleted)"), 0);
	assert_int_equal(path_deleted_len("/a (deleted) (deleted)"), 12);
	assert_int_equal(path_deleted_len("/a (deleted)x"), 0);
}

static void test_rel(void **state)
{
	assert_string_equal(path_rel("/"), ".");
	assert_string_equal(path_rel("/a/b"), "a/b");
	assert_string_equal(path_rel("//a"), "a");
}

static void test_proc_pid(void **state)
{
	assert_int_equal(path_proc_pid("/proc/12/maps"), 12);
	assert_int_equal(path_proc_pid("/proc/12"), 12);
	assert_int_equal(path_proc_pid("/proc/meminfo"), 0);
	assert_int_equal(path_proc_pid("/proc/12x"), 0);
	assert_int_equal(path_proc_pid("/proc/99999999999/maps"), 0);
	assert_int_equal(path_proc_pid("/process/12"), 0);
}

static void test_linked_renamed_unlinked(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make(x, "one");
	const char *name;

	assert_int_equal(find(x, fd, &name), PATH_LINKED);
	assert_string_equal(name, in(x, "one"));
	assert_int_equal(rename(in(x, "one"), in(x, "two")), 0);
	assert_int_equal(find(x, fd, &name), PATH_LINKED);
	assert_string_equal(name, in(x, "two"));
	unlink(in(x, "two"));
	assert_int_equal(find(x, fd, &name), PATH_UNLINKED);
	assert_string_equal(name, in(x, "two"));
}

/* Another file has the name now: it is still the old one that was opened. */
static void test_name_taken(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make(x, "one"), other = -EBADF;
	const char *name;

	unlink(in(x, "one"));
	other = make(x, "one");
	assert_int_equal(find(x, fd, &name), PATH_UNLINKED);
	assert_string_equal(name, in(x, "one"));
	unlink(in(x, "one"));
}

/* The kernel's mark as a part of a real name, there and gone. */
static void test_real_name_with_mark(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make(x, "one (deleted)");
	const char *name;

	assert_int_equal(find(x, fd, &name), PATH_LINKED);
	assert_string_equal(name, in(x, "one (deleted)"));
	unlink(in(x, "one (deleted)"));
	assert_int_equal(find(x, fd, &name), PATH_UNLINKED);
	assert_string_equal(name, in(x, "one (deleted)"));
}

/* "x (deleted)" is shown for a removed x while a file of just that name exists. */
static void test_mark_meets_namesake(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make(x, "x"), namesake = make(x, "x (deleted)");
	const char *name;

	unlink(in(x, "x"));
	assert_int_equal(find(x, fd, &name), PATH_UNLINKED);
	assert_string_equal(name, in(x, "x"));
	unlink(in(x, "x (deleted)"));
}

static void test_hidden(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make(x, "one");
	const char *name;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	unlink(in(x, "one"));
	assert_int_equal(path_find(x->root, in(x, "one"), &st, x->a, &name), PATH_HIDDEN);
}

/* ------------------------------------------------------------------ plant */

static void check_shown(struct fixture *x, int fd, const char *name)
{
	char link[64], shown[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, shown, sizeof(shown) - 1);
	assert_true(n > 0);
	shown[n] = '\0';
	assert_string_equal(shown, arena_printf(x->a, "%s (deleted)", name));
}

static void test_plant_file(void **state)
{
	struct fixture *x = *state;
	struct plant p = {.root = x->root, .name = in(x, "f"), .mode = S_IFREG | 0640};
	auto_close int fd = plant_open(&p);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	check_shown(x, fd, p.name);
	assert_int_equal(access(p.name, F_OK), -1);
}

/* Missing directories exist for the moment only: teardown's rmdir would find them. */
static void test_plant_in_missing_directories(void **state)
{
	struct fixture *x = *state;
	struct plant p = {.root = x->root, .name = in(x, "a/b/c/f"), .mode = S_IFREG | 0640};
	auto_close int fd = plant_open(&p);

	assert_true(fd >= 0);
	check_shown(x, fd, p.name);
	assert_int_equal(access(in(x, "a"), F_OK), -1);
}

static void test_plant_others(void **state)
{
	static const mode_t modes[] = {S_IFDIR | 0700, S_IFIFO | 0600, S_IFLNK | 0777};
	struct fixture *x = *state;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct plant p = {.root = x->root,
				  .name = in(x, "it"),
				  .mode = modes[i],
				  .target = "nowhere"};
		auto_close int fd = plant_open(&p);

		assert_true(fd >= 0 && fstat(fd, &st) == 0);
		assert_int_equal(st.st_mode & S_IFMT, modes[i] & S_IFMT);
		check_shown(x, fd, p.name);
	}
}

static void test_plant_taken(void **state)
{
	struct fixture *x = *state;
	struct plant p = {.root = x->root, .name = in(x, "f"), .mode = S_IFREG | 0640};
	auto_close int fd = make(x, "f");

	assert_int_equal(plant_open(&p), -EEXIST);
	assert_int_equal(access(p.name, F_OK), 0);
	unlink(p.name);
}

static void test_plant_link(void **state)
{
	struct fixture *x = *state;
	struct plant p = {.root = x->root, .name = in(x, "new"), .from = in(x, "old")};
	auto_close int fd = make(x, "old"), again = -EBADF;
	struct stat a, b;

	again = plant_open(&p);
	assert_true(again >= 0 && fstat(fd, &a) == 0 && fstat(again, &b) == 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(b.st_nlink, 1);
	check_shown(x, again, p.name);
	unlink(p.from);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_mark),
		T(test_rel),
		T(test_proc_pid),
		T(test_linked_renamed_unlinked),
		T(test_name_taken),
		T(test_real_name_with_mark),
		T(test_mark_meets_namesake),
		T(test_hidden),
		T(test_plant_file),
		T(test_plant_in_missing_directories),
		T(test_plant_others),
		T(test_plant_taken),
		T(test_plant_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
