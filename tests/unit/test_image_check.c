/* SPDX-License-Identifier: Apache-2.0 */
/* Cross checks: CRIU's sets pass; one wrong value is refused with the file and the field. */
#include "image/check.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "image/pages.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/file-policy.pb-c.h"
#include "image/schema/fs.pb-c.h"
#include "image/schema/inventory.pb-c.h"
#include "image/schema/memfd.pb-c.h"
#include "image/schema/mm.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "image/schema/seccomp.pb-c.h"

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

static int check(const struct img_dir *dir, struct err *err)
{
	struct arena *a = arena_new();
	int r = image_check(dir, a, err);

	arena_free(a);
	return r;
}

static void sets_of_criu_pass(void **state)
{
	for (const char *const *set = sample_sets; *set; set++) {
		struct err err = ERR_INIT;
		struct img_dir dir;

		sample_copy(*set, &dir);
		if (check(&dir, &err) < 0)
			fail_msg("%s: %s", *set, err.text);
		sample_remove(&dir);
	}
}

/* -------------------------------------------------------- missing files */

static void a_missing_image_is_named(void **state)
{
	static const char *const needed[] = {
		"inventory.img",  "pstree.img",	       "core-17942.img", "core-17943.img",
		"core-17945.img", "ids-17944.img",     "mm-17942.img",	 "fs-17944.img",
		"files.img",	  "pagemap-17942.img", "pages-3.img",	 "ghost-file-2.img",
		"memfd.img",
	};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		struct err err = ERR_INIT;
		struct img_dir dir;

		sample_copy("multi", &dir);
		unlinkat(dir.fd, needed[i], 0);
		assert_true(check(&dir, &err) < 0);
		assert_true(err.text[0]);
		if (!strstr(err.text, needed[i]) && !strstr(err.text, dir.path))
			fail_msg("without %s: %s", needed[i], err.text);
		sample_remove(&dir);
	}
}

/* ---------------------------------------------------------- wrong values */

#define ALL_RECORDS SIZE_MAX

/* Changes record number `nth` of an image by `change`. */
static void edit(const struct img_dir *dir, enum img_kind kind, uint64_t id, size_t nth,
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
		if (i == nth || nth == ALL_RECORDS)
			change(msg);
		assert_ok(img_put(w, msg, &err));
	}
	assert_ok(img_close(w, &err));
	img_reader_free(r);
	arena_free(a);
}

static void pid_of_another(void *msg)
{
	((PstreeEntry *)msg)->pid = 17943;
}
static void unknown_parent(void *msg)
{
	((PstreeEntry *)msg)->ppid = 17945;
}
static void no_parent(void *msg)
{
	((PstreeEntry *)msg)->ppid = 0;
}
static void no_session(void *msg)
{
	((PstreeEntry *)msg)->sid = 0;
}
static void huge_pid(void *msg)
{
	((PstreeEntry *)msg)->pid = UINT32_MAX;
}
static void zombie_with_threads(void *msg)
{
	((CoreEntry *)msg)->tc->task_state = 2;
}
static void dumper_files_id(void *msg)
{
	((TaskKobjIdsEntry *)msg)->files_id = 1;
}
static void shared_memory_of_processes(void *msg)
{
	((TaskKobjIdsEntry *)msg)->vm_id = 2;
}
static void old_version(void *msg)
{
	((InventoryEntry *)msg)->img_version = 3;
}
static void few_sigactions(void *msg)
{
	((CoreEntry *)msg)->tc->n_sigactions = 61;
}
static void many_rlimits(void *msg)
{
	static RlimitEntry limit = RLIMIT_ENTRY__INIT;
	static RlimitEntry *limits[17];

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		limits[i] = &limit;
	((CoreEntry *)msg)->tc->rlimits->n_rlimits = ARRAY_SIZE(limits);
	((CoreEntry *)msg)->tc->rlimits->rlimits = limits;
}
static void short_siginfo(void *msg)
{
	((CoreEntry *)msg)->tc->signals_s->signals[0]->siginfo.len = 127;
}
static void short_xmm(void *msg)
{
	((CoreEntry *)msg)->thread_info->fpregs->n_xmm_space = 63;
}
static void short_ymm(void *msg)
{
	((CoreEntry *)msg)->thread_info->fpregs->xsave->n_ymmh_space = 1;
}
static void two_tls(void *msg)
{
	((CoreEntry *)msg)->thread_info->n_tls = 2;
}
static void no_registers(void *msg)
{
	((CoreEntry *)msg)->thread_info = NULL;
}
static void long_comm(void *msg)
{
	((CoreEntry *)msg)->tc->comm = (char *)"sixteen letters.";
}
static void unknown_filter(void *msg)
{
	((CoreEntry *)msg)->thread_core->has_seccomp_mode = true;
	((CoreEntry *)msg)->thread_core->seccomp_mode = SECCOMP_MODE__filter;
	((CoreEntry *)msg)->thread_core->has_seccomp_filter = true;
	((CoreEntry *)msg)->thread_core->seccomp_filter = 2;
}
static void other_machine(void *msg)
{
	((CoreEntry *)msg)->mtype = CORE_ENTRY__MARCH__AARCH64;
}
static void looping_filter(void *msg)
{
	((SeccompEntry *)msg)->seccomp_filters[0]->has_prev = true;
	((SeccompEntry *)msg)->seccomp_filters[0]->prev = 1;
}
static void odd_filter(void *msg)
{
	((SeccompEntry *)msg)->seccomp_filters[0]->filter.len--;
}
static void unaligned_vma(void *msg)
{
	((MmEntry *)msg)->vmas[1]->start++;
}
static void overlapping_vma(void *msg)
{
	((MmEntry *)msg)->vmas[1]->start = ((MmEntry *)msg)->vmas[0]->start;
}
static void vma_in_the_kernel(void *msg)
{
	VmaEntry *v = ((MmEntry *)msg)->vmas[((MmEntry *)msg)->n_vmas - 2];

	v->end = UINT64_C(0xffff888000000000);
}
static void unknown_mapped_file(void *msg)
{
	((MmEntry *)msg)->vmas[0]->shmid = 999;
}
static void unknown_exe(void *msg)
{
	((MmEntry *)msg)->exe_file_id = 5; /* a pipe */
}
static void unmapped_pages(void *msg)
{
	MmEntry *mm = msg;

	/* Without the first mapping, whose page is in the pagemap. */
	mm->n_vmas--;
	memmove(mm->vmas, mm->vmas + 1, mm->n_vmas * sizeof(mm->vmas[0]));
	memmove(mm->vmas, mm->vmas + 1, (mm->n_vmas - 1) * sizeof(mm->vmas[0]));
	mm->n_vmas--;
}
static void stray_guard(void *msg)
{
	MmEntry *mm = msg;

	mm->vmas[mm->n_vmas - 1]->start += 0x10000000;
	mm->vmas[mm->n_vmas - 1]->end += 0x10000000;
}
static void mapping_behind_guard(void *msg)
{
	MmEntry *mm = msg;

	mm->vmas[0]->status = 1u << 16;
}
static void unknown_cwd(void *msg)
{
	((FsEntry *)msg)->cwd_id = 7; /* an eventfd */
}
static void same_fd(void *msg)
{
	((FdinfoEntry *)msg)->fd = 0;
}
static void huge_fd(void *msg)
{
	((FdinfoEntry *)msg)->fd = 1 << 20;
}
static void unknown_fd_file(void *msg)
{
	((FdinfoEntry *)msg)->id = 77;
}
static void wrong_fd_type(void *msg)
{
	((FdinfoEntry *)msg)->type = FD_TYPES__EVENTFD;
}
static void wrong_inner_id(void *msg)
{
	((FileEntry *)msg)->reg->id++;
}
static void same_file_id(void *msg)
{
	((FileEntry *)msg)->id = ((FileEntry *)msg)->reg->id = 2;
}
static void body_of_another_type(void *msg)
{
	((FileEntry *)msg)->type = FD_TYPES__PIPE;
}
static void relative_name(void *msg)
{
	((FileEntry *)msg)->reg->name = (char *)"etc/passwd";
}
static void huge_size(void *msg)
{
	((FileEntry *)msg)->reg->has_size = true;
	((FileEntry *)msg)->reg->size = UINT64_MAX;
}
static void huge_log_size(void *msg)
{
	((FileEntry *)msg)->reg->has_log_size = true;
	((FileEntry *)msg)->reg->log_size = UINT64_C(1) << 63;
}
static void unknown_checksum(void *msg)
{
	((FileEntry *)msg)->reg->has_checksum = true;
	((FileEntry *)msg)->reg->has_checksum_config = true;
	((FileEntry *)msg)->reg->checksum_config = 3;
}
static void checksum_of_nothing(void *msg)
{
	((FileEntry *)msg)->reg->has_checksum = true;
	((FileEntry *)msg)->reg->has_checksum_config = true;
	((FileEntry *)msg)->reg->checksum_config = 1;
	((FileEntry *)msg)->reg->has_checksum_parameter = true;
	((FileEntry *)msg)->reg->checksum_parameter = 0;
}
static void missing_copy(void *msg)
{
	((FileEntry *)msg)->reg->has_embedded_id = true;
	((FileEntry *)msg)->reg->embedded_id = 0x1b;
}
static void unknown_path_of_fifo(void *msg)
{
	FileEntry *e = msg;

	if (e->fifo)
		e->fifo->regf_id = 9; /* the fifo itself */
}
static void unknown_inode(void *msg)
{
	((FileEntry *)msg)->memfd->inode_id = 9;
}
static void unknown_remapped(void *msg)
{
	((RemapFilePathEntry *)msg)->orig_id = 99;
}
static void unknown_ghost(void *msg)
{
	((RemapFilePathEntry *)msg)->remap_id = 0x1f;
}
static void small_memfd(void *msg)
{
	((MemfdInodeEntry *)msg)->size = 4096;
}

struct mutation {
	const char *set;
	enum img_kind kind;
	uint64_t id;
	size_t nth;
	void (*change)(void *msg);
	const char *words[2]; /* in the error: file and field */
};

static const struct mutation mutations[] = {
	{"multi", IMG_INVENTORY, 0, 0, old_version, {"inventory.img", "version 3"}},
	{"multi", IMG_PSTREE, 0, 1, pid_of_another, {"pstree.img: record at", "17943"}},
	{"multi", IMG_PSTREE, 0, 1, unknown_parent, {"pstree.img: record at", "ppid"}},
	{"multi", IMG_PSTREE, 0, 1, no_parent, {"pstree.img: record at", "ppid"}},
	{"multi", IMG_PSTREE, 0, 0, no_session, {"pstree.img: record at", "sid"}},
	{"multi", IMG_PSTREE, 0, 2, huge_pid, {"pstree.img: record at", "4294967295"}},
	{"multi", IMG_CORE, 17942, 0, zombie_with_threads, {"pstree.img", "threads"}},
	{"multi", IMG_IDS, 17942, 0, dumper_files_id, {"ids-17942.img", "files_id"}},
	{"multi", IMG_IDS, 17944, 0, shared_memory_of_processes, {"ids-17944.img", "vm_id"}},
	{"multi", IMG_CORE, 17942, 0, few_sigactions, {"core-17942.img", "sigactions"}},
	{"multi", IMG_CORE, 17942, 0, many_rlimits, {"core-17942.img", "rlimits"}},
	{"multi", IMG_CORE, 17942, 0, short_siginfo, {"core-17942.img", "signals_s"}},
	{"multi", IMG_CORE, 17943, 0, short_xmm, {"core-17943.img", "xmm_space"}},
	{"multi", IMG_CORE, 17942, 0, short_ymm, {"core-17942.img", "ymmh_space"}},
	{"multi", IMG_CORE, 17942, 0, two_tls, {"core-17942.img", "tls"}},
	{"multi", IMG_CORE, 17943, 0, no_registers, {"core-17943.img", "thread_info"}},
	{"multi", IMG_CORE, 17942, 0, long_comm, {"core-17942.img", "comm"}},
	{"multi", IMG_CORE, 17942, 0, unknown_filter, {"core-17942.img", "seccomp_filter"}},
	{"multi", IMG_CORE, 17942, 0, other_machine, {"core-17942.img", "mtype"}},
	{"zoo", IMG_SECCOMP, 0, 0, looping_filter, {"seccomp.img", "prev"}},
	{"zoo", IMG_SECCOMP, 0, 0, odd_filter, {"seccomp.img", "filter"}},
	{"multi", IMG_MM, 17942, 0, unaligned_vma, {"mm-17942.img", "start"}},
	{"multi", IMG_MM, 17942, 0, overlapping_vma, {"mm-17942.img", "start"}},
	{"multi", IMG_MM, 17942, 0, vma_in_the_kernel, {"mm-17942.img", "end"}},
	{"multi", IMG_MM, 17942, 0, unknown_mapped_file, {"mm-17942.img", "shmid"}},
	{"multi", IMG_MM, 17942, 0, unknown_exe, {"mm-17942.img", "exe_file_id"}},
	{"multi", IMG_MM, 17942, 0, unmapped_pages, {"pagemap-17942.img", "vaddr"}},
	{"zoo", IMG_MM, 18006, 0, stray_guard, {"mm-18006.img", "guard"}},
	{"zoo", IMG_MM, 18006, 0, mapping_behind_guard, {"mm-18006.img", "guard"}},
	{"multi", IMG_FS, 17944, 0, unknown_cwd, {"fs-17944.img", "cwd_id"}},
	{"multi", IMG_FDINFO, 2, 4, same_fd, {"fdinfo-2.img: record at", "fd"}},
	{"multi", IMG_FDINFO, 2, 4, huge_fd, {"fdinfo-2.img: record at", "fd"}},
	{"multi", IMG_FDINFO, 2, 4, unknown_fd_file, {"fdinfo-2.img: record at", "id"}},
	{"multi", IMG_FDINFO, 2, 0, wrong_fd_type, {"fdinfo-2.img: record at", "type"}},
	{"multi", IMG_FILES, 0, 0, wrong_inner_id, {"files.img: record at", "id"}},
	{"multi", IMG_FILES, 0, 0, same_file_id, {"files.img: record at", "id"}},
	{"multi", IMG_FILES, 0, 0, body_of_another_type, {"files.img: record at", "reg"}},
	{"multi", IMG_FILES, 0, 0, relative_name, {"files.img: record at", "name"}},
	{"multi", IMG_FILES, 0, 0, huge_size, {"files.img: record at", "reg.size"}},
	{"multi", IMG_FILES, 0, 0, huge_log_size, {"files.img: record at", "log_size"}},
	{"multi", IMG_FILES, 0, 0, unknown_checksum, {"files.img: record at", "checksum_config"}},
	{"multi", IMG_FILES, 0, 0, checksum_of_nothing, {"files.img: record at", "parameter"}},
	{"multi", IMG_FILES, 0, 0, missing_copy, {"files.img: record at", "mapped-file-1b.img"}},
	{"zoo", IMG_FILES, 0, ALL_RECORDS, unknown_path_of_fifo, {"files.img: record", "regf_id"}},
	{"multi", IMG_FILES, 0, 1, unknown_inode, {"files.img: record at", "inode_id"}},
	{"multi", IMG_REMAP_FPATH, 0, 0, unknown_remapped, {"remap-fpath.img", "orig_id"}},
	{"multi", IMG_REMAP_FPATH, 0, 1, unknown_ghost, {"remap-fpath.img", "ghost-file-1f.img"}},
	{"multi", IMG_MEMFD, 0, 0, small_memfd, {"pagemap-shmem-26544.img", "run"}},
};

static void a_wrong_value_is_named(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(mutations); i++) {
		const struct mutation *m = &mutations[i];
		struct err err = ERR_INIT;
		struct img_dir dir;

		sample_copy(m->set, &dir);
		edit(&dir, m->kind, m->id, m->nth, m->change);
		if (check(&dir, &err) >= 0)
			fail_msg("case %zu (%s) was accepted", i, m->words[1]);
		if (!strstr(err.text, m->words[0]) || !strstr(err.text, m->words[1]))
			fail_msg("case %zu (%s): %s", i, m->words[1], err.text);
		sample_remove(&dir);
	}
}

static void a_wrong_policy_is_named(void **state)
{
	static const struct {
		const char *pattern;
		uint32_t policy;
		const char *word;
	} bad[] = {{"/a", 4, "policy"}, {"", 0, "pattern"}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		FilePolicyEntry e = FILE_POLICY_ENTRY__INIT;
		struct err err = ERR_INIT;
		struct img_dir dir;

		sample_copy("multi", &dir);
		e.pattern = (char *)bad[i].pattern;
		e.policy = bad[i].policy;
		assert_ok(img_write_one(&dir, IMG_FILE_POLICY, 0, &e.base, &err));
		assert_true(check(&dir, &err) < 0);
		assert_non_null(strstr(err.text, "file-policy.img: record at"));
		assert_non_null(strstr(err.text, bad[i].word));
		sample_remove(&dir);
	}
}

static void parent_17944(void *msg)
{
	((PstreeEntry *)msg)->ppid = 17944;
}
static void one_thread(void *msg)
{
	((PstreeEntry *)msg)->n_threads = 1;
}
static void dead(void *msg)
{
	((CoreEntry *)msg)->tc->task_state = 2;
}

/* The dead keep no children, and somebody has to be alive. */
static void zombies_have_no_children(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	sample_copy("multi", &dir);
	edit(&dir, IMG_PSTREE, 0, 2, parent_17944);
	assert_ok(check(&dir, &err));
	edit(&dir, IMG_CORE, 17944, 0, dead);
	assert_true(check(&dir, &err) < 0);
	assert_non_null(strstr(err.text, "pid 17945: ppid: 17944 is a zombie"));
	sample_remove(&dir);

	err = ERR_INIT;
	sample_copy("multi", &dir);
	edit(&dir, IMG_PSTREE, 0, 0, one_thread);
	edit(&dir, IMG_CORE, 17942, 0, dead);
	assert_true(check(&dir, &err) < 0);
	assert_non_null(strstr(err.text, "zombie"));
	sample_remove(&dir);
}

/* ---------------------------------------------------------- wrong pages */

struct run {
	uint64_t vaddr, n;
	uint32_t flags;
};

static int load_runs(const struct run *runs, size_t n, uint64_t pages_len, struct err *err)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct img_writer *w;
	struct pagemap *p;
	struct img_dir dir;
	int r;

	sample_empty_dir(&dir);
	head.pages_id = 1;
	assert_int_equal(img_create(&dir, IMG_PAGEMAP, 1, &w, err), 0);
	assert_int_equal(img_put(w, &head.base, err), 0);
	for (size_t i = 0; i < n; i++) {
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		e.vaddr = runs[i].vaddr;
		e.has_nr_pages = e.has_flags = true;
		e.nr_pages = runs[i].n;
		e.flags = runs[i].flags;
		assert_int_equal(img_put(w, &e.base, err), 0);
	}
	assert_int_equal(img_close(w, err), 0);
	sample_write(dir.fd, "pages-1.img", "", 0);
	{
		auto_free char *path = NULL;

		assert_true(asprintf(&path, "%s/pages-1.img", dir.path) > 0);
		assert_int_equal(truncate(path, (off_t)pages_len), 0);
	}
	r = pagemap_load(&dir, IMG_PAGEMAP, 1, false, &p, err);
	if (r == 0)
		pagemap_free(p);
	sample_remove(&dir);
	return r;
}

static void a_wrong_run_is_named(void **state)
{
	static const struct {
		struct run runs[2];
		uint64_t pages_len;
		const char *word;
	} cases[] = {
		{{{0x1001, 1, PE_PRESENT}, {0x3000, 1, PE_PRESENT}}, 8192, "vaddr"},
		{{{0x3000, 1, PE_PRESENT}, {0x1000, 1, PE_PRESENT}}, 8192, "vaddr"},
		{{{0x1000, 3, PE_PRESENT}, {0x3000, 1, PE_PRESENT}}, 16384, "vaddr"},
		{{{0x1000, 0, PE_PRESENT}, {0x3000, 1, PE_PRESENT}}, 4096, "nr_pages"},
		{{{0x1000, UINT64_MAX, PE_PRESENT}, {0x3000, 1, PE_PRESENT}}, 4096, "nr_pages"},
		{{{0x1000, UINT64_MAX / 4096, PE_PRESENT}, {0x3000, 1, 4}}, 4096, "nr_pages"},
		{{{0x1000, 1, PE_PRESENT}, {UINT64_MAX - 4095, 1, PE_PRESENT}}, 8192, "nr_pages"},
		{{{0x1000, 1, 8}, {0x3000, 1, PE_PRESENT}}, 4096, "flags"},
		{{{0x1000, 1, 0}, {0x3000, 1, PE_PRESENT}}, 4096, "flags"},
		{{{0x1000, 1, PE_PRESENT | PE_PARENT}, {0x3000, 1, 4}}, 4096, "flags"},
		{{{0x1000, 1, PE_PRESENT}, {0x3000, 2, PE_PRESENT}}, 8192, "pages-1.img"},
		{{{0x1000, 1, PE_PRESENT}, {0x3000, 1, PE_PRESENT}}, 8193, "pages-1.img"},
		{{{0x1000, 1, PE_LAZY}, {0x3000, 1, PE_LAZY}}, 1, "pages-1.img"},
	};
	static const struct run good[2] = {{0x1000, 1, PE_PRESENT}, {0x2000, 2, PE_LAZY}};
	struct err err = ERR_INIT;

	assert_ok(load_runs(good, 2, 4096, &err));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		err = ERR_INIT;
		if (load_runs(cases[i].runs, 2, cases[i].pages_len, &err) >= 0)
			fail_msg("case %zu was accepted", i);
		if (!strstr(err.text, cases[i].word))
			fail_msg("case %zu: %s", i, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_of_criu_pass),
		cmocka_unit_test(a_missing_image_is_named),
		cmocka_unit_test(a_wrong_value_is_named),
		cmocka_unit_test(a_wrong_policy_is_named),
		cmocka_unit_test(zombies_have_no_children),
		cmocka_unit_test(a_wrong_run_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
