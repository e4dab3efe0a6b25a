/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dump of our own files notes of their contents, and what a restore makes of the entries:
 * file/fingerprint.c, validate.c, cut.c. No tracing, no root.
 */
#include "base/auto.h"
#include "base/crc32c.h"
#include "file/cut.h"
#include "file/fingerprint.h"
#include "file/policy.h"
#include "file/reg.h"
#include "file/remap.h"
#include "file/validate.h"
#include "image/schema/ghost-file.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct arena *a;
	struct img_dir img;
	struct file_opts opts;
	struct policies policies;
	struct files *f;
	struct target t;
	struct rfiles rf; /* of the entries that the dump has made so far */
	struct err err;
};

static void begin(struct fixture *x)
{
	files_free(x->f);
	x->f = files_new(&x->img, &x->opts, x->a);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->dir, "/tmp/test-valid-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->a = arena_new();
	x->img.fd = x->img.work_fd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	x->img.path = x->dir;
	x->rf.root = -EBADF;
	x->opts.ghost_limit = UINT64_MAX;
	x->opts.sum = (struct sum_spec){SUM_FIRST, SUM_PARAM_DEFAULT};
	x->opts.policies = &x->policies;
	begin(x);
	x->t.pid = x->t.vpid = getpid();
	x->t.proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	x->t.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	*state = x;
	return x->t.pidfd < 0 ? -1 : 0;
}

static void forget(struct fixture *x)
{
	cuts_free(&x->rf);
	vec_done(&x->rf.files);
	fd_close(x->rf.root);
	x->rf = (struct rfiles){.root = -EBADF};
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	char cmd[128];

	forget(x);
	files_free(x->f);
	policies_done(&x->policies);
	arena_free(x->a);
	close(x->img.fd);
	close(x->t.proc);
	close(x->t.pidfd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", x->dir);
	assert_int_equal(system(cmd), 0);
	free(x);
	return 0;
}

static const char *in(struct fixture *x, const char *name)
{
	return arena_printf(x->a, "%s/%s", x->dir, name);
}

static void put(struct fixture *x, const char *name, const char *text)
{
	auto_close int fd = open(in(x, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What is noted of a file that is open with these flags. */
static RegFileEntry *noted(struct fixture *x, const char *path, int flags)
{
	auto_fdesc struct fdesc d = {.local = -EBADF};
	auto_close int fd = open(path, flags | O_CLOEXEC);
	uint32_t id = files_new_id(x->f);

	assert_true(fd >= 0);
	assert_int_equal(fdesc_identify(&x->t, fd, &d, x->a, &x->err), 0);
	assert_int_equal(fdesc_collect(&d, x->a, &x->err), 0);
	assert_int_equal(reg_kind.dump(x->f, &d, id, &x->err), 0);
	return x->f->entries.data[x->f->entries.len - 1]->reg;
}

/* The verdict of a restore about all that was noted. */
static int verdict(struct fixture *x)
{
	forget(x);
	x->rf = (struct rfiles){.dir = &x->img, .opts = x->opts, .a = x->a};
	x->rf.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	vec_foreach (e, &x->f->entries)
		*vec_push(&x->rf.files) =
			(struct rfile){.id = (*e)->id, .kind = &reg_kind, .e = *e, .fd = -EBADF};
	x->err = ERR_INIT;
	return validate_files(&x->rf, &x->err);
}

static void assert_says(struct fixture *x, const char *word)
{
	assert_true(verdict(x) < 0);
	if (!strstr(x->err.text, word))
		fail_msg("no '%s' in: %s", word, x->err.text);
	assert_true(x->err.hint[0]);
}

static void set_policy(struct fixture *x, const char *word)
{
	x->policies.rules.len = 0;
	assert_int_equal(policies_add_word(&x->policies, word, x->a, &x->err), 0);
}

static void checksums_by_default(void **state)
{
	struct fixture *x = *state;
	const RegFileEntry *e;

	put(x, "file", "0123456789");
	e = noted(x, in(x, "file"), O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_true(e->has_checksum && e->has_checksum_config && e->has_checksum_parameter);
	assert_int_equal(e->checksum, crc32c(0, "0123456789", 10));
	assert_int_equal(e->checksum_config, SUM_FIRST);
	assert_int_equal(e->checksum_parameter, 1024);
	assert_int_equal(verdict(x), 0);
	put(x, "file", "012345678!");
	assert_says(x, "contents have changed");
	put(x, "file", "012");
	assert_says(x, "size is 3, was 10");
	assert_null(strstr(x->err.text, "contents"));
	set_policy(x, "file=ignore");
	assert_int_equal(verdict(x), 0);
}

static void every_method(void **state)
{
	struct fixture *x = *state;
	const RegFileEntry *e;

	put(x, "file", "0123456789");
	x->opts.identify = FILE_BY_SIZE;
	begin(x);
	e = noted(x, in(x, "file"), O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_false(e->has_checksum || e->n_build_id);
	assert_true(e->has_size);

	x->opts.identify = FILE_BY_CHECKSUM;
	x->opts.sum = (struct sum_spec){SUM_EVERY, 4};
	begin(x);
	e = noted(x, in(x, "file"), O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_int_equal(e->checksum, crc32c(0, "048", 3));

	x->opts.sum = (struct sum_spec){SUM_FULL, 77};
	begin(x);
	e = noted(x, in(x, "file"), O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_int_equal(e->checksum, crc32c(0, "0123456789", 10));
	assert_false(e->has_checksum_parameter);
}

static void made_up_files_are_left_alone(void **state)
{
	struct fixture *x = *state;
	const RegFileEntry *e = noted(x, "/proc/version", O_RDONLY);

	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_false(e->has_checksum || e->n_build_id);
}

/* Our own program has a build id, or at least some first bytes. */
static void either_id_or_checksum(void **state)
{
	struct fixture *x = *state;
	char self[256] = "";
	const RegFileEntry *e;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	e = noted(x, self, O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_true(e->has_checksum == !e->n_build_id);
	assert_int_equal(verdict(x), 0);
}

/* Once restored, the program writes to it: by default its contents are for rules only. */
static void files_to_write_to(void **state)
{
	struct fixture *x = *state;
	const RegFileEntry *out, *same;

	put(x, "file", "0123456789");
	put(x, "in", "0123456789");
	out = noted(x, in(x, "file"), O_RDWR);
	same = noted(x, in(x, "file"), O_RDONLY);
	assert_false(noted(x, in(x, "in"), O_RDONLY)->may_change);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_true(out->may_change && same->may_change && out->has_checksum);
	put(x, "file", "012345678!");
	assert_int_equal(verdict(x), 0);
	set_policy(x, "file=exact");
	assert_says(x, "contents have changed");
	set_policy(x, "file=append-ok");
	assert_says(x, "contents have changed");
	x->policies.rules.len = 0;
	put(x, "file", "0123");
	assert_says(x, "size is 4, was 10");

	put(x, "file", "0123456789");
	x->opts.identify = FILE_BY_CHECKSUM;
	begin(x);
	assert_false(noted(x, in(x, "file"), O_RDWR)->may_change);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	put(x, "file", "012345678!");
	assert_says(x, "contents have changed");
}

static void logs(void **state)
{
	struct fixture *x = *state;
	const RegFileEntry *e;

	put(x, "log", "one\n");
	e = noted(x, in(x, "log"), O_WRONLY | O_APPEND);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_true(e->has_log_size && e->log_size == 4 && !e->has_size && e->has_checksum);
	put(x, "log", "one\ntwo\n");
	assert_int_equal(verdict(x), 0);
	set_policy(x, "**=append-ok");
	assert_int_equal(verdict(x), 0);
	set_policy(x, "**=exact");
	assert_says(x, "size is 8, was 4");
	put(x, "log", "two\none\n");
	set_policy(x, "**=append-ok");
	assert_says(x, "contents have changed");
	put(x, "log", "");
	assert_says(x, "size is 0, was 4");
	x->policies.rules.len = 0;
	assert_int_equal(verdict(x), 0);
}

static off_t size_of(struct fixture *x, const char *name)
{
	struct stat st;

	assert_int_equal(stat(in(x, name), &st), 0);
	return st.st_size;
}

static void cutting_back(void **state)
{
	struct fixture *x = *state;

	put(x, "log", "one\n");
	noted(x, in(x, "log"), O_WRONLY | O_APPEND);
	noted(x, in(x, "log"), O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	put(x, "log", "one\ntwo\n");
	set_policy(x, "log=truncate-back");
	assert_int_equal(verdict(x), 0);
	assert_int_equal(size_of(x, "log"), 8); /* a check changes nothing */
	assert_int_equal(rfiles_cut_back(&x->rf, &x->err), 0);
	assert_int_equal(size_of(x, "log"), 4);
	assert_int_equal(rfiles_cut_back(&x->rf, &x->err), 0);
	/* Shorter by now: nothing is to be done. */
	put(x, "log", "one\ntwo\n");
	assert_int_equal(verdict(x), 0);
	put(x, "log", "on");
	assert_int_equal(rfiles_cut_back(&x->rf, &x->err), 0);
	assert_int_equal(size_of(x, "log"), 2);
}

/* What has come to the name since the check is somebody else's. */
static void never_another_file(void **state)
{
	struct fixture *x = *state;

	put(x, "log", "one\n");
	noted(x, in(x, "log"), O_WRONLY | O_APPEND);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	put(x, "log", "one\ntwo\n");
	put(x, "other", "many bytes\n");
	set_policy(x, "log=truncate-back");
	assert_int_equal(verdict(x), 0);
	assert_int_equal(rename(in(x, "other"), in(x, "log")), 0);
	assert_true(rfiles_cut_back(&x->rf, &x->err) < 0);
	assert_int_equal(size_of(x, "log"), 11);
	x->err = ERR_INIT;
	put(x, "other", "many bytes\n");
	assert_int_equal(unlink(in(x, "log")), 0);
	assert_int_equal(symlink(in(x, "other"), in(x, "log")), 0);
	assert_true(rfiles_cut_back(&x->rf, &x->err) < 0);
	assert_int_equal(size_of(x, "other"), 11);
}

static void size_unknown(void **state)
{
	struct fixture *x = *state;
	RegFileEntry *e;

	put(x, "log", "one\n");
	e = noted(x, in(x, "log"), O_WRONLY | O_APPEND);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	e->has_log_size = false; /* an image of others */
	set_policy(x, "log=truncate-back");
	assert_says(x, "can't be cut back");
	set_policy(x, "log=append-ok");
	assert_int_equal(verdict(x), 0);
}

/* More of them than an error has room for: each once, and counted. */
static void many(void **state)
{
	struct fixture *x = *state;
	char name[16];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		put(x, name, "text");
		noted(x, in(x, name), O_RDONLY);
		noted(x, in(x, name), O_RDONLY | O_NONBLOCK);
	}
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	assert_int_equal(verdict(x), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		put(x, name, "Text");
	}
	assert_says(x, "100 files aren't as they were");
	assert_non_null(strstr(x->err.text, " more (warnings"));
}

static void write_copy(struct fixture *x, mode_t mode, bool chunks, uint64_t off)
{
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	GhostChunkEntry c = GHOST_CHUNK_ENTRY__INIT;
	struct img_writer *w;

	e.mode = mode;
	e.has_chunks = e.chunks = chunks;
	e.has_size = chunks;
	e.size = 10;
	c.off = off;
	c.len = 4;
	x->err = ERR_INIT;
	assert_int_equal(img_create(&x->img, IMG_MAPPED_FILE, 1, &w, &x->err), 0);
	assert_int_equal(img_put(w, &e.base, &x->err), 0);
	if (chunks)
		assert_int_equal(img_put(w, &c.base, &x->err), 0);
	assert_int_equal(img_put_raw(w, "data", 4, &x->err), 0);
	assert_int_equal(img_close(w, &x->err), 0);
}

static void copies(void **state)
{
	struct fixture *x = *state;
	RegFileEntry *e;

	put(x, "file", "text");
	e = noted(x, in(x, "file"), O_RDONLY);
	assert_int_equal(fingerprints_finish(x->f, &x->err), 0);
	e->has_embedded_id = true;
	e->embedded_id = 1;
	/* As long as the file is what it was, nobody looks at its copy. */
	assert_int_equal(verdict(x), 0);
	assert_null(x->rf.files.data[0].remap);
	put(x, "file", "TEXT");
	assert_true(verdict(x) < 0);
	assert_non_null(strstr(x->err.text, "mapped-file-1.img"));
	write_copy(x, S_IFREG | 0644, true, 3);
	assert_int_equal(verdict(x), 0);
	assert_int_equal(x->rf.files.data[0].remap->type, REMAP_COPY);
	write_copy(x, S_IFREG | 0644, true, 7); /* beyond its end */
	assert_true(verdict(x) < 0);
	write_copy(x, S_IFCHR | 0644, false, 0);
	assert_true(verdict(x) < 0);
	assert_non_null(strstr(x->err.text, "regular"));
	/* Gone altogether. */
	write_copy(x, S_IFREG | 0644, false, 0);
	assert_int_equal(unlink(in(x, "file")), 0);
	assert_int_equal(verdict(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(checksums_by_default, setup, teardown),
		cmocka_unit_test_setup_teardown(every_method, setup, teardown),
		cmocka_unit_test_setup_teardown(made_up_files_are_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(either_id_or_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(files_to_write_to, setup, teardown),
		cmocka_unit_test_setup_teardown(logs, setup, teardown),
		cmocka_unit_test_setup_teardown(cutting_back, setup, teardown),
		cmocka_unit_test_setup_teardown(never_another_file, setup, teardown),
		cmocka_unit_test_setup_teardown(size_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(many, setup, teardown),
		cmocka_unit_test_setup_teardown(copies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
