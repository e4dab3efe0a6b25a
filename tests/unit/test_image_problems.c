/* SPDX-License-Identifier: Apache-2.0 */
/* A list of all problems: several planted ones are each there, once, and nothing else. */
#include "image/check.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "base/vec.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/fs.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

struct problems {
	VEC(struct err) list;
};

static void note(void *arg, const struct err *problem)
{
	assert_true(problem->code < 0 && problem->text[0]);
	*vec_push(&((struct problems *)arg)->list) = *problem;
}

static int list(const struct img_dir *dir, struct problems *p)
{
	struct err err = ERR_INIT;
	const struct image_listener l = {.problem = note, .arg = p};
	int n = image_check_each(dir, true, &l, &err);

	assert_ok(n);
	return n;
}

static size_t count(const struct problems *p, const char *a, const char *b)
{
	size_t n = 0;

	for (size_t i = 0; i < p->list.len; i++)
		n += strstr(p->list.data[i].text, a) && strstr(p->list.data[i].text, b);
	return n;
}

static void expect_one(const struct problems *p, const char *a, const char *b)
{
	if (count(p, a, b) == 1)
		return;
	for (size_t i = 0; i < p->list.len; i++)
		print_message("%s\n", p->list.data[i].text);
	fail_msg("%zu problems with '%s' and '%s'", count(p, a, b), a, b);
}

static void expect_number(const struct problems *p, size_t n)
{
	if (p->list.len == n)
		return;
	for (size_t i = 0; i < p->list.len; i++)
		print_message("%s\n", p->list.data[i].text);
	fail_msg("%zu problems instead of %zu", p->list.len, n);
}

static void sets_of_criu_have_none(void **state)
{
	for (const char *const *set = sample_sets; *set; set++) {
		struct problems p = {0};
		struct img_dir dir;

		sample_copy(*set, &dir);
		assert_true(list(&dir, &p) > 10);
		expect_number(&p, 0);
		vec_done(&p.list);
		sample_remove(&dir);
	}
}

/* Changes the first record of an image. */
static void edit(const struct img_dir *dir, enum img_kind kind, uint64_t id,
		 void (*change)(void *msg))
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct img_reader *r;
	struct img_writer *w;
	ProtobufCMessage *msg;

	assert_ok(img_open(dir, kind, id, &r, &err));
	assert_ok(img_create(dir, kind, id, &w, &err)); /* the reader keeps the old one */
	for (size_t i = 0; img_get(r, a, &msg, &err) > 0; i++) {
		if (!i)
			change(msg);
		assert_ok(img_put(w, msg, &err));
	}
	assert_ok(img_close(w, &err));
	img_reader_free(r);
	arena_free(a);
}

static void damage_core(void *msg)
{
	CoreEntry *e = msg;

	e->tc->n_sigactions = 61;
	e->thread_info->fpregs->n_xmm_space = 63;
	e->thread_info->n_tls = 2;
	e->thread_core->has_pdeath_sig = true;
	e->thread_core->pdeath_sig = 99;
}
static void odd_umask(void *msg)
{
	((FsEntry *)msg)->has_umask = true;
	((FsEntry *)msg)->umask = 010000;
	((FsEntry *)msg)->root_id = 7777;
}
static void unknown_file(void *msg)
{
	((FdinfoEntry *)msg)->id = 5555;
}

/* Of one record, and of several files. */
static void all_planted_faults_are_listed(void **state)
{
	struct problems p = {0};
	struct img_dir dir;

	sample_copy("multi", &dir);
	edit(&dir, IMG_CORE, 17942, damage_core);
	edit(&dir, IMG_FS, 17944, odd_umask);
	edit(&dir, IMG_FDINFO, 2, unknown_file);
	list(&dir, &p);
	expect_one(&p, "core-17942.img", "tc.sigactions");
	expect_one(&p, "core-17942.img", "fpregs.xmm_space");
	expect_one(&p, "core-17942.img", "tls");
	expect_one(&p, "core-17942.img", "thread_core.pdeath_sig");
	expect_one(&p, "fs-17944.img", "umask");
	expect_one(&p, "fs-17944.img", "root_id: file 7777");
	expect_one(&p, "fdinfo-2.img: record at 8", "file 5555");
	expect_number(&p, 7);
	vec_done(&p.list);
	sample_remove(&dir);
}

static void cut_off(const struct img_dir *dir, const char *name)
{
	size_t len;
	uint8_t *data = sample_read(dir->fd, name, &len);

	sample_write(dir->fd, name, data, len - 1);
	free(data);
}

/* Kinds that a restore doesn't read are decoded as well; each file is told of once. */
static void files_that_are_cut_off_are_listed(void **state)
{
	static const char *const names[] = {"core-17944.img", "ids-17942.img", "mm-17942.img",
					    "tty-info.img",   "pstree.img",    "cgroup.img",
					    "seccomp.img",    "timens-0.img"};
	struct problems p = {0};
	struct img_dir dir;
	size_t there = 0;

	sample_copy("multi", &dir);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (faccessat(dir.fd, names[i], F_OK, 0) < 0)
			continue;
		cut_off(&dir, names[i]);
		there++;
	}
	assert_true(there > 4);
	list(&dir, &p);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (faccessat(dir.fd, names[i], F_OK, 0) == 0)
			expect_one(&p, names[i], "truncated");
	vec_done(&p.list);
	sample_remove(&dir);
}

/* A table of files that can't be read isn't a thousand wrong references. */
static void what_follows_is_not_listed(void **state)
{
	struct problems p = {0};
	struct img_dir dir;

	sample_copy("multi", &dir);
	sample_write(dir.fd, "files.img", "nothing", 7);
	list(&dir, &p);
	expect_number(&p, 1);
	expect_one(&p, "files.img", "not a checkpoint image");
	vec_done(&p.list);
	sample_remove(&dir);
}

static void a_missing_image_is_listed(void **state)
{
	struct problems p = {0};
	struct img_dir dir;

	sample_copy("multi", &dir);
	unlinkat(dir.fd, "core-17943.img", 0);
	unlinkat(dir.fd, "fs-17942.img", 0);
	list(&dir, &p);
	expect_one(&p, "core-17943.img", "");
	expect_one(&p, "fs-17942.img", "");
	expect_number(&p, 2);
	unlinkat(dir.fd, "inventory.img", 0);
	vec_done(&p.list);
	list(&dir, &p);
	expect_one(&p, "inventory.img", "");
	vec_done(&p.list);
	sample_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_of_criu_have_none),
		cmocka_unit_test(all_planted_faults_are_listed),
		cmocka_unit_test(files_that_are_cut_off_are_listed),
		cmocka_unit_test(what_follows_is_not_listed),
		cmocka_unit_test(a_missing_image_is_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
