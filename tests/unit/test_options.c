/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's words, and the option table against the manual page. */
#include "cli/options.h"

#include "base/auto.h"
#include "base/io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct run {
	struct arena *arena;
	struct options o;
	struct option_parser parser;
	struct err err;
	int ret;
};

/* Splits at blanks; the words stay valid until the next call. */
static struct run *parse(const char *line)
{
	static struct run run;
	static char words[512];
	char *argv[32] = {(char *)"torpor"};
	int argc = 1;

	if (run.arena) {
		option_parser_done(&run.parser);
		arena_free(run.arena);
	}
	run = (struct run){.arena = arena_new(), .o = OPTIONS_DEFAULT};
	snprintf(words, sizeof(words), "%s", line);
	for (char *s = words; *s; s += strlen(s) + 1) {
		char *end = strchr(s, ' ');

		argv[argc++] = s;
		if (!end)
			break;
		*end = '\0';
	}
	option_parser_init(&run.parser, &run.o, run.arena);
	run.ret = options_parse_argv(&run.parser, argc, argv, &run.err);
	if (run.ret >= 0)
		run.ret = options_finish(&run.parser, &run.err);
	return &run;
}

static void assert_good(const struct run *r)
{
	if (r->ret < 0)
		fail_msg("%s", r->err.text);
}

static void assert_error(const char *line, enum err_kind kind, const char *object)
{
	const struct run *r = parse(line);

	if (r->ret >= 0)
		fail_msg("'%s' was accepted", line);
	if (r->err.kind != kind || !strstr(r->err.text, object))
		fail_msg("'%s': %s", line, r->err.text);
	if (kind == ERR_REFUSED && !r->err.hint[0])
		fail_msg("'%s': no hint", line);
}

static void test_defaults(void **state)
{
	const struct run *r = parse("restore");

	assert_good(r);
	assert_int_equal(r->o.verb, VERB_RESTORE);
	assert_string_equal(r->o.images_dir, ".");
	assert_null(r->o.work_dir);
	assert_null(r->o.log_file);
	assert_int_equal(r->o.verbosity, 2);
	assert_int_equal(r->o.timeout_s, 10);
	assert_true(r->o.ghost_limit == UINT64_MAX);
	assert_int_equal(r->o.status_fd, -1);
}

static void test_words_anywhere(void **state)
{
	static const char *const lines[] = {
		"dump -t 812 -D img -R",
		"-R --tree 812 dump --images-dir=img",
		"--tree=812 -RDimg dump",
		"-t812 dump --leave-r --images img",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const struct run *r = parse(lines[i]);

		assert_good(r);
		assert_int_equal(r->o.verb, VERB_DUMP);
		assert_int_equal(r->o.pid, 812);
		assert_string_equal(r->o.images_dir, "img");
		assert_true(r->o.leave_running);
	}
}

static void test_verbosity(void **state)
{
	static const struct {
		const char *line;
		int level;
	} rows[] = {
		{"check -v", 3},
		{"check -vv", 4},
		{"check -v -v", 4},
		{"check -v0", 0},
		{"check -v1", 1},
		{"check -vvvvv", 4},
		{"check --verbosity=3", 3},
		{"check -v4 -v1", 1},
		{"check --verbosity", 3},
		{"check -verbosity=0", 0},
		{"check -v99", 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_good(parse(rows[i].line));
		assert_int_equal(parse(rows[i].line)->o.verbosity, rows[i].level);
	}
}

static void test_negation(void **state)
{
	assert_true(parse("restore --shell-job")->o.shell_job);
	assert_false(parse("restore --shell-job --no-shell-job")->o.shell_job);
	assert_true(parse("restore --no-shell-job -j")->o.shell_job);
	assert_false(parse("restore -d --no-daemon")->o.detached);
	assert_error("dump -t 1 --no-leave-running", ERR_INPUT, "no-leave-running");
	assert_error("dump -t 1 --no-display-stats=1", ERR_INPUT, "doesn't allow");
}

static void test_prefixes(void **state)
{
	assert_true(parse("restore --restore-d")->o.detached);
	assert_true(parse("restore --dae")->o.detached);
	assert_error("restore --restore", ERR_INPUT, "ambiguous");
	assert_error("dump -t 1 --lo x", ERR_INPUT, "ambiguous");
	assert_error("dump -t 1 --nothing", ERR_INPUT, "unrecognized option '--nothing'");
	assert_error("dump -t 1 -q", ERR_INPUT, "'q'");
	/* An exact name wins over names that it begins. */
	assert_int_equal(parse("check --all --feature x")->ret, 0);
}

static void test_values(void **state)
{
	const struct run *r = parse("dump -t 1 --ghost-limit 10M --timeout 0 --freeze-cgroup /a");

	assert_good(r);
	assert_true(r->o.ghost_limit == 10 << 20);
	assert_int_equal(r->o.timeout_s, 0);
	assert_string_equal(r->o.freeze_cgroup, "/a");
	assert_true(parse("dump -t 1 --ghost-limit 7")->o.ghost_limit == 7);
	assert_true(parse("dump -t 1 --ghost-limit 1G")->o.ghost_limit == 1 << 30);
	assert_error("dump -t 1 --ghost-limit 1X", ERR_INPUT, "ghost-limit");
	assert_error("dump -t 1 --ghost-limit 10MB", ERR_INPUT, "ghost-limit");
	assert_error("dump -t 1 --ghost-limit K", ERR_INPUT, "ghost-limit");
	assert_error("dump -t 1 --ghost-limit 99999999999999999G", ERR_INPUT, "ghost-limit");
	assert_error("dump -t 1 --timeout x", ERR_INPUT, "timeout");
	assert_error("dump -t 0", ERR_INPUT, "--tree");
	assert_error("dump -t -5", ERR_INPUT, "--tree");
	assert_error("dump -t 1x", ERR_INPUT, "--tree");
	assert_error("dump -t", ERR_INPUT, "requires an argument");
	assert_error("dump --tree", ERR_INPUT, "requires an argument");
	assert_error("restore --status-fd x", ERR_INPUT, "status-fd");
	assert_error("dump -t 1 --file-validation sha", ERR_INPUT, "file-validation");
	assert_error("dump -t 1 --file-validation chksm-half", ERR_INPUT, "file-validation");
	assert_error("dump -t 1 --chksm-config half", ERR_INPUT, "chksm-config");
	assert_error("dump -t 1 --chksm-parameter 0", ERR_INPUT, "chksm-parameter");
	assert_error("dump -t 1 --chksm-parameter 4G", ERR_INPUT, "chksm-parameter");
	assert_error("dump -t 1 --file-policy /a", ERR_INPUT, "file-policy");
	assert_error("restore --file-policy /a=maybe", ERR_INPUT, "maybe");
}

static void test_lists(void **state)
{
	const struct run *r = parse("dump -t 1 --action-script a --action-script=b");

	assert_good(r);
	assert_int_equal(r->o.scripts.len, 2);
	assert_string_equal(r->o.scripts.data[0], "a");
	assert_string_equal(r->o.scripts.data[1], "b");
}

static void test_exec_cmd(void **state)
{
	const struct run *r = parse("restore --exec-cmd -- prog -d --help");

	assert_good(r);
	assert_string_equal(r->o.exec_argv[0], "prog");
	assert_string_equal(r->o.exec_argv[1], "-d");
	assert_string_equal(r->o.exec_argv[2], "--help");
	assert_null(r->o.exec_argv[3]);
	assert_error("restore --exec-cmd", ERR_INPUT, "--exec-cmd");
	assert_error("restore -d --exec-cmd -- x", ERR_INPUT, "exclude");
	assert_error("dump -t 1 --exec-cmd -- x", ERR_INPUT, "--exec-cmd");
	assert_error("dump -t 1 word", ERR_INPUT, "word");
}

static void test_commands(void **state)
{
	static const char *const refused[] = {"lazy-pages", "page-server", "service", "swrk",
					      "cpuinfo",    "exec",	   "show"};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_error(refused[i], ERR_REFUSED, refused[i]);
	assert_error("-v", ERR_INPUT, "command");
	assert_error("dumb", ERR_INPUT, "dumb");
	assert_error("dump", ERR_INPUT, "pid not specified");
	assert_error("pre-dump", ERR_INPUT, "pid not specified");
	assert_error("restore --restore-sibling", ERR_INPUT, "--restore-detached");
	assert_true(parse("restore -d -S")->o.restore_sibling);
}

static void test_memory_options(void **state)
{
	const struct run *r = parse("pre-dump -t 1 --prev-images-dir ../0 --pre-dump-mode=splice");

	assert_good(r);
	assert_int_equal(r->o.verb, VERB_PRE_DUMP);
	assert_string_equal(r->o.prev_images_dir, "../0");
	assert_false(r->o.track_mem);
	assert_int_equal(r->o.tracker, TRACK_BY_AUTO);
	assert_good(parse("pre-dump -t 1 --pre-dump-mode read"));
	assert_error("pre-dump -t 1 --pre-dump-mode write", ERR_INPUT, "--pre-dump-mode");
	assert_error("pre-dump -t 1 --lazy-pages", ERR_REFUSED, "--lazy-pages");
	assert_true(parse("dump -t 1 --track-mem")->o.track_mem);
	assert_int_equal(parse("dump -t 1 --tracker=uffd-wp")->o.tracker, TRACK_BY_UFFD_WP);
	assert_int_equal(parse("dump -t 1 --tracker=soft-dirty")->o.tracker, TRACK_BY_SOFT_DIRTY);
	assert_error("dump -t 1 --tracker=best", ERR_INPUT, "--tracker");
	assert_false(parse("dump -t 1")->o.compat_images);
	assert_true(parse("dump -t 1 --image-compat=criu")->o.compat_images);
	assert_error("dump -t 1 --image-compat=dmtcp", ERR_INPUT, "--image-compat");
}

static void test_refused_options(void **state)
{
	assert_error("dump -t 1 --tcp-established", ERR_REFUSED, "--tcp-established");
	assert_error("dump -t 1 -l", ERR_REFUSED, "--file-locks");
	assert_error("restore --inherit-fd fd[3]:x", ERR_REFUSED, "--inherit-fd");
	assert_error("dump -t 1 --manage-cgroups=soft", ERR_REFUSED, "--manage-cgroups=soft");
	assert_error("dump -t 1 --manage-cgroups", ERR_REFUSED, "--manage-cgroups");
	assert_error("dump -t 1 --network-lock nftables", ERR_REFUSED, "nftables");
	assert_error("dump -t 1 --cpu-cap", ERR_REFUSED, "--cpu-cap");
	/* Taken back, switched off, or without a meaning for the command: */
	assert_good(parse("dump -t 1 --tcp-established --no-tcp-established"));
	assert_good(parse("dump -t 1 --manage-cgroups --manage-cgroups=ignore"));
	assert_good(parse("dump -t 1 --network-lock skip --cpu-cap=none"));
	assert_good(parse("check --tcp-established --track-mem"));
	assert_good(parse("dump -t 1 --inherit-fd fd[3]:x"));
}

/* Every row can be reached, says something, and is described where people look for it. */
static void test_table(void **state)
{
	auto_free char *manual = NULL;

	assert_int_equal(io_read_file(AT_FDCWD, SOURCE_DIR "/docs/torpor.8.scd", &manual, NULL), 0);
	for (size_t i = 0; i < option_table_len; i++) {
		const struct option_row *row = &option_table[i];
		char text[80];

		assert_non_null(row->set);
		assert_true(row->verbs != 0);
		assert_true(row->help && row->help[0]);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(row->name, option_table[j].name);
			assert_true(!row->letter || row->letter != option_table[j].letter);
		}
		snprintf(text, sizeof(text), "*--%s*", row->name);
		if (!strstr(manual, text))
			fail_msg("docs/torpor.8.scd doesn't have %s", text);
	}
}

static void test_version(void **state)
{
	const struct run *r = parse("--version --nonsense");

	assert_true(r->parser.version_asked);
}

static void test_validation(void **state)
{
	const struct run *r = parse("dump -t 1");

	assert_int_equal(r->o.file_validation, VALIDATE_BUILDID);
	assert_int_equal(r->o.chksm_config, SUM_FIRST);
	assert_int_equal(r->o.chksm_parameter, 1024);
	r = parse("dump -t 1 --file-validation chksm-full --chksm-parameter 64K");
	assert_good(r);
	assert_int_equal(r->o.file_validation, VALIDATE_CHECKSUM);
	assert_int_equal(r->o.chksm_config, SUM_FULL);
	assert_int_equal(r->o.chksm_parameter, 65536);
	r = parse("dump -t 1 --file-validation chksm-period");
	assert_int_equal(r->o.chksm_config, SUM_EVERY);
	r = parse("dump -t 1 --chksm-config every --file-validation chksm");
	assert_int_equal(r->o.file_validation, VALIDATE_CHECKSUM);
	assert_int_equal(r->o.chksm_config, SUM_EVERY);
	r = parse("restore --file-policy /a=exact --file-policy *.log=append-ok");
	assert_good(r);
	assert_int_equal(r->o.file_policies.len, 2);
	assert_string_equal(r->o.file_policies.data[1], "*.log=append-ok");
	r = parse("dump -t 1 --file-policy-file rules --embed-mapped-files");
	assert_good(r);
	assert_true(r->o.embed_mapped_files);
	assert_int_equal(r->o.file_policy_file[0], '/');
	assert_string_equal(strrchr(r->o.file_policy_file, '/'), "/rules");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),	cmocka_unit_test(test_words_anywhere),
		cmocka_unit_test(test_verbosity),	cmocka_unit_test(test_negation),
		cmocka_unit_test(test_prefixes),	cmocka_unit_test(test_values),
		cmocka_unit_test(test_lists),		cmocka_unit_test(test_exec_cmd),
		cmocka_unit_test(test_commands),	cmocka_unit_test(test_memory_options),
		cmocka_unit_test(test_refused_options), cmocka_unit_test(test_table),
		cmocka_unit_test(test_version),		cmocka_unit_test(test_validation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
