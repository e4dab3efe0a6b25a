/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core files of the sample images, whole and with bytes changed: a core file that fits itself, or a
 * reason; never a crash, and never more memory than the images' sizes explain.
 */
#include "../lib/samples.h"
#include "base/auto.h"
#include "inspect/checkpoint.h"
#include "inspect/core_notes.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#define ROUNDS 60 /* per image */

/* The parts of a core file, in order, inside the file. */
static void expect_whole(int fd)
{
	auto_free Elf64_Phdr *ph = NULL;
	uint64_t at = 0;
	struct stat st;
	Elf64_Ehdr h;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	assert_memory_equal(h.e_ident, ELFMAG, SELFMAG);
	assert_int_equal(h.e_type, ET_CORE);
	assert_int_equal(h.e_machine, EM_X86_64);
	ph = xcalloc(h.e_phnum, sizeof(*ph));
	assert_int_equal(pread(fd, ph, h.e_phnum * sizeof(*ph), (off_t)h.e_phoff),
			 h.e_phnum * sizeof(*ph));
	assert_int_equal(ph[0].p_type, PT_NOTE);
	for (size_t i = 0; i < h.e_phnum; i++) {
		assert_true(ph[i].p_offset + ph[i].p_filesz <= (uint64_t)st.st_size);
		if (!i)
			continue;
		assert_int_equal(ph[i].p_type, PT_LOAD);
		assert_true(ph[i].p_filesz <= ph[i].p_memsz);
		assert_true(ph[i].p_vaddr >= at);
		at = ph[i].p_vaddr + ph[i].p_memsz;
	}
}

/* How many notes of this kind there are. */
static size_t count_notes(int fd, uint32_t type)
{
	Elf64_Ehdr h;
	Elf64_Phdr ph;
	auto_free uint8_t *notes = NULL;
	size_t found = 0;

	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(pread(fd, &ph, sizeof(ph), (off_t)h.e_phoff), sizeof(ph));
	notes = xcalloc(ph.p_filesz, 1);
	assert_int_equal(pread(fd, notes, ph.p_filesz, (off_t)ph.p_offset), ph.p_filesz);
	for (size_t at = 0; at < ph.p_filesz;) {
		Elf64_Nhdr n;

		memcpy(&n, notes + at, sizeof(n));
		found += n.n_type == type;
		at += sizeof(n) + (n.n_namesz + 3) / 4 * 4 + (n.n_descsz + 3) / 4 * 4;
		assert_true(at <= ph.p_filesz);
	}
	return found;
}

static int ignore_find(void *arg, uint32_t pid, uint64_t addr, const void *bytes, size_t len)
{
	return 0;
}

/* Everything that looks at memory. Returns how many core files there were. */
static size_t look(const struct img_dir *dir, bool must)
{
	struct torpor_memory_range all = {.flags = TORPOR_MEMORY_NO_FILES};
	struct torpor_image *ti = torpor_image_new();
	struct torpor_checkpoint *cp = NULL;
	auto_close int fd = memfd_create("core", MFD_CLOEXEC);
	size_t cores = 0;

	for (size_t i = 0; torpor_checkpoint_open(ti, dir->path, &cp) == 0 && i < cp->tasks.len;
	     i++, torpor_checkpoint_close(cp), cp = NULL) {
		const struct checkpoint_task *t = &cp->tasks.data[i];
		char *json = NULL;

		if (torpor_checkpoint_core(cp, t->pid, fd, 0) == 0) {
			expect_whole(fd);
			assert_int_equal(count_notes(fd, NT_PRSTATUS), t->e->n_threads);
			cores++;
		} else if (must && !strstr(torpor_image_error(ti), "zombie")) {
			fail_msg("%u: %s", t->pid, torpor_image_error(ti));
		}
		assert_true(torpor_checkpoint_mappings(cp, t->pid, &json) == 0 ||
			    torpor_image_error(ti)[0]);
		free(json);
	}
	torpor_checkpoint_close(cp);
	if (torpor_checkpoint_open(ti, dir->path, &cp) == 0) {
		(void)torpor_checkpoint_memory_strings(cp, &all, 4, ignore_find, NULL);
		torpor_checkpoint_close(cp);
	}
	torpor_image_free(ti);
	return cores;
}

static void test_samples(void **state)
{
	for (size_t i = 0; sample_sets[i]; i++) {
		struct img_dir dir;

		sample_copy(sample_sets[i], &dir);
		assert_true(look(&dir, /* must= */ true) > 0);
		sample_remove(&dir);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Some bytes changed, or the end cut off. */
static void damage(const struct img_dir *dir, const char *name, uint32_t *seed)
{
	size_t len;
	auto_free uint8_t *data = sample_read(dir->fd, name, &len);
	auto_free uint8_t *broken = xcalloc(len + 1, 1);

	for (int i = 0; i < ROUNDS; i++) {
		size_t keep = next_random(seed) % 8 ? len : next_random(seed) % (len + 1);

		memcpy(broken, data, len);
		for (uint32_t n = next_random(seed) % 4; n-- && len;)
			broken[next_random(seed) % len] = (uint8_t)next_random(seed);
		sample_write(dir->fd, name, broken, keep);
		look(dir, /* must= */ false);
	}
	sample_write(dir->fd, name, data, len);
}

static void test_damaged(void **state)
{
	static const char *const kinds[] = {"mm-", "core-", "pagemap-", "memfd", "files.img"};
	struct img_dir dir;
	uint32_t seed = 1;
	char **names;
	size_t n;

	sample_copy("multi", &dir);
	n = sample_names(&dir, &names);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			if (strncmp(names[i], kinds[k], strlen(kinds[k])) == 0)
				damage(&dir, names[i], &seed);
	sample_names_free(names, n);
	sample_remove(&dir);
}

/* ---------------------------------------------------------------- registers */

static void test_vector_registers(void **state)
{
	uint32_t st[32] = {0}, xmm[64] = {0}, ymm[64], pkru[2] = {5, 0};
	UserX86XsaveEntry x = USER_X86_XSAVE_ENTRY__INIT;
	UserX86FpregsEntry fp = USER_X86_FPREGS_ENTRY__INIT;
	UserX86RegsEntry regs = USER_X86_REGS_ENTRY__INIT;
	ThreadInfoX86 ti = THREAD_INFO_X86__INIT;
	CoreEntry core = CORE_ENTRY__INIT;
	struct err err = ERR_INIT;
	struct thread_regs r;
	uint64_t xcr0, bv;

	for (uint32_t i = 0; i < 64; i++)
		ymm[i] = i;
	core.mtype = CORE_ENTRY__MARCH__X86_64;
	core.thread_info = &ti;
	ti.gpregs = &regs;
	ti.fpregs = &fp;
	fp.n_st_space = ARRAY_SIZE(st);
	fp.st_space = st;
	fp.n_xmm_space = ARRAY_SIZE(xmm);
	fp.xmm_space = xmm;
	fp.mxcsr = 0x1f80;
	fp.xsave = &x;
	x.xstate_bv = 0xffff;
	x.n_ymmh_space = ARRAY_SIZE(ymm);
	x.ymmh_space = ymm;
	assert_int_equal(core_regs(&core, "core", &r, &err), 0);
	assert_int_equal(r.xstate_len, 832);
	assert_memory_equal(r.xstate + 576, ymm, sizeof(ymm));
	memcpy(&xcr0, r.xstate + 464, sizeof(xcr0));
	memcpy(&bv, r.xstate + 512, sizeof(bv));
	assert_int_equal(xcr0, 7);
	assert_int_equal(bv, 7); /* not what that CPU can't have had */
	x.n_pkru = 2;
	x.pkru = pkru;
	assert_int_equal(core_regs(&core, "core", &r, &err), 0);
	assert_int_equal(r.xstate_len, 2696);
	assert_int_equal(r.xstate[2688], 5);
	x.n_ymmh_space = 63;
	assert_int_equal(core_regs(&core, "core", &r, &err), -EINVAL);
	x.n_ymmh_space = 64;
	fp.n_xmm_space = 0;
	assert_int_equal(core_regs(&core, "core", &r, &err), -EINVAL);
	fp.n_xmm_space = ARRAY_SIZE(xmm);
	regs.has_mode = 1;
	regs.mode = USER_X86_REGS_MODE__COMPAT;
	assert_int_equal(core_regs(&core, "core", &r, &err), -EINVAL);
	core.mtype = CORE_ENTRY__MARCH__AARCH64;
	assert_int_equal(core_regs(&core, "core", &r, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_vector_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
