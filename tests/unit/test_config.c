/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: their lines, and which of them count in which order. */
#include "cli/config.h"

#include "base/auto.h"
#include "base/io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/torpor-config-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[256];
	auto_close int fd = -EBADF;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
}

static void assert_line(const char *text, int ret, const char *name, const char *value)
{
	char line[128];
	char *got_name = NULL;
	char *got_value = NULL;
	const char *problem;

	snprintf(line, sizeof(line), "%s", text);
	assert_int_equal(config_split_line(line, &got_name, &got_value, &problem), ret);
	if (ret != 1)
		return;
	assert_string_equal(got_name, name);
	if (value)
		assert_string_equal(got_value, value);
	else
		assert_null(got_value);
}

static void test_lines(void **state)
{
	assert_line("", 0, NULL, NULL);
	assert_line(" \t ", 0, NULL, NULL);
	assert_line("# shell-job", 0, NULL, NULL);
	assert_line("shell-job", 1, "shell-job", NULL);
	assert_line("  shell-job\t", 1, "shell-job", NULL);
	assert_line("shell-job # yes", 1, "shell-job", NULL);
	assert_line("timeout 5", 1, "timeout", "5");
	assert_line("timeout\t5 # seconds", 1, "timeout", "5");
	assert_line("log-file=/a/b", 1, "log-file=/a/b", NULL);
	assert_line("log-file \"a b\"", 1, "log-file", "a b");
	assert_line("log-file \"a \\\"b\\\" \\n\"", 1, "log-file", "a \"b\" \\n");
	assert_line("log-file \"\"", 1, "log-file", "");
	assert_line("log-file \"a # b\" # c", 1, "log-file", "a # b");
	assert_line("log-file \"a", -EINVAL, NULL, NULL);
	assert_line("log-file a b", -EINVAL, NULL, NULL);
	assert_line("log-file \"a\" b", -EINVAL, NULL, NULL);
}

struct run {
	struct arena *arena;
	struct options o;
	struct option_parser parser;
	struct err err;
};

static int load(struct run *r, const char *a, const char *b)
{
	char *argv[] = {(char *)"torpor", (char *)a, (char *)b, NULL};
	int argc = a ? (b ? 3 : 2) : 1;

	*r = (struct run){.arena = arena_new(), .o = OPTIONS_DEFAULT};
	option_parser_init(&r->parser, &r->o, r->arena);
	return config_load_all(&r->parser, argc, argv, &r->err);
}

static void done(struct run *r)
{
	option_parser_done(&r->parser);
	arena_free(r->arena);
}

static const char *in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void test_order(void **state)
{
	struct run r;

	write_file(".criu/default.conf", "timeout 1\nshell-job\naction-script home\n");
	write_file("env.conf", "timeout 2\naction-script env\n");
	write_file("extra.conf", "timeout 3\nno-shell-job\naction-script extra\n");
	setenv("HOME", dir, 1);

	assert_int_equal(load(&r, NULL, NULL), 0);
	assert_int_equal(r.o.timeout_s, 1);
	assert_true(r.o.shell_job);
	done(&r);

	setenv("CRIU_CONFIG_FILE", in_dir("env.conf"), 1);
	assert_int_equal(load(&r, NULL, NULL), 0);
	assert_int_equal(r.o.timeout_s, 2);
	assert_true(r.o.shell_job);
	assert_int_equal(r.o.scripts.len, 2);
	assert_string_equal(r.o.scripts.data[1], "env");
	done(&r);

	/* --config replaces the default files, not the environment's. */
	assert_int_equal(load(&r, "--config", in_dir("extra.conf")), 0);
	assert_int_equal(r.o.timeout_s, 3);
	assert_false(r.o.shell_job);
	assert_int_equal(r.o.scripts.len, 2);
	assert_string_equal(r.o.scripts.data[0], "env");
	done(&r);

	assert_int_equal(load(&r, "--no-default-config", NULL), 0);
	assert_int_equal(r.o.scripts.len, 1);
	done(&r);
	unsetenv("CRIU_CONFIG_FILE");
}

static void test_missing(void **state)
{
	struct run r;

	setenv("HOME", "/nonexistent", 1);
	assert_int_equal(load(&r, "--config", "/nonexistent"), 0);
	done(&r);
}

static void assert_broken(const char *text, const char *word)
{
	struct run r;

	write_file("broken.conf", text);
	assert_true(load(&r, "--config", in_dir("broken.conf")) < 0);
	if (!strstr(r.err.text, word) || !strstr(r.err.text, "broken.conf:"))
		fail_msg("%s", r.err.text);
	done(&r);
}

static void test_broken(void **state)
{
	setenv("HOME", dir, 1);
	assert_broken("shell-job\nnonsense\n", ":2: unrecognized option '--nonsense'");
	assert_broken("dump\n", "unrecognized option '--dump'");
	assert_broken("timeout\n", "requires an argument");
	assert_broken("timeout x\n", "timeout");
	assert_broken("shell-job yes\n", "doesn't allow an argument");
	assert_broken("log-file \"a\n", "quote");
	assert_broken("log-file=a b\n", "more than one value");
}

static void test_optional_values(void **state)
{
	struct run r;

	write_file("optional.conf", "verbosity 4\nmanage-cgroups ignore\nlog-file=/p=q\n");
	assert_int_equal(load(&r, "--config", in_dir("optional.conf")), 0);
	assert_int_equal(r.o.verbosity, 4);
	assert_int_equal(r.o.manage_cgroups, CGROUP_IGNORE);
	assert_string_equal(r.o.log_file, "/p=q");
	done(&r);
}

/* Whatever stands there: an answer, and no byte outside of the line is touched. */
static void test_any_line(void **state)
{
	static const char alphabet[] = "a=\\\"# \t-v1\r\1\377";
	uint32_t seed = 1;

	for (int i = 0; i < 100000; i++) {
		char *name = NULL;
		char *value = NULL;
		const char *problem = NULL;
		size_t len = (size_t)i % 24;
		char *line = malloc(len + 1); /* its own block, for the sanitizer */
		int r;

		for (size_t j = 0; j < len; j++) {
			seed = seed * 1103515245 + 12345;
			line[j] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		line[len] = '\0';
		r = config_split_line(line, &name, &value, &problem);
		assert_true(r == 0 || (r == 1 && name[0]) || (r == -EINVAL && problem));
		free(line);
	}
}

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	unsetenv("CRIU_CONFIG_FILE");
	return mkdir(in_dir(".criu"), 0700);
}

static int remove_dir(void **state)
{
	static const char *const names[] = {".criu/default.conf", "env.conf", "extra.conf",
					    "broken.conf", "optional.conf"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(in_dir(names[i]));
	rmdir(in_dir(".criu"));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),		cmocka_unit_test(test_order),
		cmocka_unit_test(test_missing),		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_optional_values), cmocka_unit_test(test_any_line),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
