/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns and rules: file/policy.c. */
#include "base/auto.h"
#include "file/policy.h"
#include "image/schema/file-policy.pb-c.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void matches(void **state)
{
	static const char *const good[][2] = {
		{"/a", "/a"},
		{"/var/log/*", "/var/log/x.log"},
		{"/var/log/*", "/var/log/"},
		{"/var/**", "/var/log/a/b"},
		{"/**/x", "/a/b/x"},
		{"**/x", "/x"},
		{"**", "/anything/at all"},
		{"/a/**/b/*.c", "/a/1/b/2/b/x.c"},
		{"/a?c", "/abc"},
		{"/[a-c]x", "/bx"},
		{"/[!a-c]x", "/dx"},
		{"/[]x]y", "/]y"},
		{"/[a-]y", "/-y"},
		{"/[ab", "/[ab"},
		{"/\\*", "/*"},
		{"/a\\[b]", "/a[b]"},
		{"/a\\", "/a\\"},
		{"/*a*b", "/xaxaxb"},
		{"/*/*/c*", "/a/b/cd"},
		{"/***", "/a/b"},
	};
	static const char *const bad[][2] = {
		{"/a", "/ab"},
		{"/a", "/"},
		{"/var/log/*", "/var/log/a/b"},
		{"/a?c", "/a/c"},
		{"/a[/]c", "/a/c"},
		{"/a[!x]c", "/a/c"},
		{"/[a-c]x", "/dx"},
		{"/[!a-c]x", "/bx"},
		{"/\\*", "/a"},
		{"/**/x/*.c", "/a/x/b/x.c"},
		{"", "/a"},
		{"/a*", "/"},
		{"/*a*b", "/xaxa/b"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!policy_matches(good[i][0], good[i][1]))
			fail_msg("'%s' doesn't match %s", good[i][0], good[i][1]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (policy_matches(bad[i][0], bad[i][1]))
			fail_msg("'%s' matches %s", bad[i][0], bad[i][1]);
}

/* Without `**` it is what fnmatch() with FNM_PATHNAME does. */
static void as_the_shell(void **state)
{
	static const char in_pattern[] = "ab/*?[]!-\\", in_path[] = "ab/]-";
	char pattern[8], path[8];
	uint32_t seed = 7;

	for (int i = 0; i < 300000; i++) {
		size_t n = 0, m = 0;

		for (; n < 6 && (seed = seed * 1664525 + 1013904223) >> 29; n++)
			pattern[n] = in_pattern[(seed >> 16) % (sizeof(in_pattern) - 1)];
		for (; m < 6 && (seed = seed * 1664525 + 1013904223) >> 29; m++)
			path[m] = in_path[(seed >> 16) % (sizeof(in_path) - 1)];
		pattern[n] = path[m] = '\0';
		/* Where they have ideas of their own: unclosed and odd brackets. */
		if (strstr(pattern, "**") || strpbrk(pattern, "[\\"))
			continue;
		if (policy_matches(pattern, path) != !fnmatch(pattern, path, FNM_PATHNAME))
			fail_msg("'%s' and '%s'", pattern, path);
	}
}

/* Stars that a backtracking matcher would try in all combinations. */
static void no_pattern_takes_long(void **state)
{
	char pattern[1025], path[4096];
	clock_t begin = clock();

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (size_t i = 0; i < 1023; i++)
		pattern[i] = "*a**a"[i % 5];
	strcpy(pattern + 1023, "b");
	assert_false(policy_matches(pattern, path));
	assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
}

static void assert_refused(const char *word, const char *why)
{
	struct policies p = {0};
	struct arena *a = arena_new();
	struct err err = ERR_INIT;

	assert_true(policies_add_word(&p, word, a, &err) < 0);
	if (!strstr(err.text, why))
		fail_msg("'%s': %s", word, err.text);
	assert_int_equal(p.rules.len, 0);
	policies_done(&p);
	arena_free(a);
}

static void words(void **state)
{
	struct policies p = {0};
	struct arena *a = arena_new();
	struct err err = ERR_INIT;

	assert_int_equal(policy_of(NULL, "/a"), POLICY_DEFAULT);
	assert_int_equal(policies_add_word(&p, "/var/**=ignore", a, &err), 0);
	assert_int_equal(policies_add_word(&p, "/var/log/*=append-ok", a, &err), 0);
	assert_int_equal(policies_add_word(&p, "*.so=exact", a, &err), 0);
	assert_int_equal(policies_add_word(&p, "/a=b=truncate-back", a, &err), 0);
	/* The last one counts. */
	assert_int_equal(policy_of(&p, "/var/log/x"), POLICY_APPEND_OK);
	assert_int_equal(policy_of(&p, "/var/log/x.so"), POLICY_EXACT);
	assert_int_equal(policy_of(&p, "/var/log/x/y"), POLICY_IGNORE);
	assert_int_equal(policy_of(&p, "/a=b"), POLICY_TRUNCATE_BACK);
	assert_int_equal(policy_of(&p, "/etc/x"), POLICY_DEFAULT);
	policies_done(&p);
	arena_free(a);
	assert_refused("/a", "PATTERN=POLICY");
	assert_refused("/a=sometimes", "'sometimes'");
	assert_refused("=exact", "empty");
	assert_refused("a/b=exact", "'a/b'");
}

struct fixture {
	char dir[32], path[64];
	struct img_dir img;
	struct arena *a;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->dir, "/tmp/test-policy-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->path, sizeof(x->path), "%s/rules", x->dir);
	x->img.fd = x->img.work_fd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	x->img.path = x->dir;
	x->a = arena_new();
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	unlink(x->path);
	unlinkat(x->img.fd, "file-policy.img", 0);
	close(x->img.fd);
	rmdir(x->dir);
	arena_free(x->a);
	free(x);
	return 0;
}

static int read_text(struct fixture *x, const char *text, size_t len, struct policies *p)
{
	int fd = open(x->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, len), len);
	close(fd);
	x->err = ERR_INIT;
	return policies_add_file(p, x->path, x->a, &x->err);
}

static void files(void **state)
{
	static const char good[] = "# rules\n\n  append-ok\t/var/log/a b.log  \r\nignore *.tmp\n"
				   "exact   /last without newline";
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"exact /a\nexact\n", "line 2"},
		{"\n\nsometimes /a\n", "line 3"},
		{"exact a/b", "line 1"},
	};
	struct fixture *x = *state;
	struct policies p = {0};

	assert_int_equal(read_text(x, good, strlen(good), &p), 0);
	assert_int_equal(p.rules.len, 3);
	assert_int_equal(policy_of(&p, "/var/log/a b.log"), POLICY_APPEND_OK);
	assert_int_equal(policy_of(&p, "/x/y.tmp"), POLICY_IGNORE);
	assert_int_equal(policy_of(&p, "/last without newline"), POLICY_EXACT);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(read_text(x, bad[i].text, strlen(bad[i].text), &p) < 0);
		if (!strstr(x->err.text, bad[i].why) || !strstr(x->err.text, x->path))
			fail_msg("%s", x->err.text);
	}
	assert_true(read_text(x, "exact /a\0b\n", 11, &p) < 0);
	policies_done(&p);
}

static void images(void **state)
{
	struct fixture *x = *state;
	struct policies p = {0}, back = {0};

	assert_int_equal(policies_add_image(&back, &x->img, x->a, &x->err), 0); /* none */
	assert_int_equal(policies_add_word(&p, "/a=truncate-back", x->a, &x->err), 0);
	assert_int_equal(policies_add_word(&p, "**=ignore", x->a, &x->err), 0);
	assert_int_equal(policies_write(&p, &x->img, &x->err), 0);
	assert_int_equal(policies_add_image(&back, &x->img, x->a, &x->err), 0);
	assert_int_equal(back.rules.len, 2);
	assert_string_equal(back.rules.data[0].pattern, "/a");
	assert_int_equal(back.rules.data[0].policy, POLICY_TRUNCATE_BACK);
	/* No rules, no file. */
	p.rules.len = 0;
	assert_int_equal(policies_write(&p, &x->img, &x->err), 0);
	assert_int_equal(faccessat(x->img.fd, "file-policy.img", F_OK, 0), -1);
	policies_done(&p);
	policies_done(&back);
}

static void write_records(struct fixture *x, const char *pattern, uint32_t policy, int n)
{
	struct img_writer *w;

	assert_int_equal(img_create(&x->img, IMG_FILE_POLICY, 0, &w, &x->err), 0);
	for (int i = 0; i < n; i++) {
		FilePolicyEntry e = FILE_POLICY_ENTRY__INIT;

		e.pattern = (char *)pattern;
		e.policy = policy;
		assert_int_equal(img_put(w, &e.base, &x->err), 0);
	}
	assert_int_equal(img_close(w, &x->err), 0);
}

static void damaged_images(void **state)
{
	struct fixture *x = *state;
	char longest[2000];
	const struct {
		const char *pattern;
		uint32_t policy;
		int n;
		const char *why;
	} bad[] = {
		{"/a", 4, 1, "policy: 4"},     {"/a", UINT32_MAX, 1, "policy: 4294967295"},
		{"", 0, 1, "empty"},	       {"a/b", 0, 1, "a/b"},
		{longest, 0, 1, "1999 bytes"}, {"/a", 0, 1025, "more than 1024 rules"},
	};

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct policies p = {0};

		write_records(x, bad[i].pattern, bad[i].policy, bad[i].n);
		x->err = ERR_INIT;
		assert_true(policies_add_image(&p, &x->img, x->a, &x->err) < 0);
		if (!strstr(x->err.text, bad[i].why) || !strstr(x->err.text, "file-policy.img"))
			fail_msg("%s", x->err.text);
		policies_done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(as_the_shell),
		cmocka_unit_test(no_pattern_takes_long),
		cmocka_unit_test(words),
		cmocka_unit_test_setup_teardown(files, setup, teardown),
		cmocka_unit_test_setup_teardown(images, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_images, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
