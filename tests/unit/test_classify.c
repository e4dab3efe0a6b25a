/* SPDX-License-Identifier: Apache-2.0 */
/* smaps text of real programs into vmas: mem/smaps.c, mem/classify.c. */
#include "kernel/uapi/mman.h"
#include "mem/classify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

/* Flags are the words of VmFlags; the lines in between are left out but for the one that counts. */
#define MAPPING(head, flags) head "\nRss: 0 kB\nKernelPageSize:        4 kB\nVmFlags: " flags "\n"

struct result {
	vma_vec vmas;
	index_vec devices;
	bool uprobes;
	char *text;
	struct err err;
	int r;
};

static struct result classify_text(const char *text)
{
	const struct classify_ctx ctx = {.shm_dev = makedev(0, 1)};
	struct result res = {.text = strdup(text), .err = ERR_INIT};
	smaps_vec entries = {0};

	res.r = smaps_parse(res.text, &entries, &res.err);
	if (res.r == 0)
		res.r = classify_all(&ctx, &entries, &res.vmas, &res.devices, &res.uprobes,
				     &res.err);
	vec_done(&entries);
	return res;
}

static void result_done(struct result *res)
{
	vec_done(&res->vmas);
	vec_done(&res->devices);
	free(res->text);
}

/* clang-format off */
static const char program[] =
	MAPPING("5560aece8000-5560aecea000 r--p 00002000 fe:00 247134        /usr/bin/cat",
		"rd mr mw me")
	MAPPING("5560c632a000-5560c634b000 rw-p 00000000 00:00 0             [heap]",
		"rd wr mr mw me ac")
	MAPPING("7f377e236000-7f377e258000 rw-p 00000000 00:00 0 ",
		"rd wr mr mw me ac lo dc hg")
	MAPPING("7f377e2b9000-7f377e2df000 rw-s 00001000 fe:00 9             /tmp/a\\012b (x)",
		"rd wr sh mr mw me ms")
	MAPPING("7f377e4a8000-7f377e4ac000 r--p 00000000 00:00 0             [vvar]",
		"rd mr pf io de dd")
	MAPPING("7f377e4ac000-7f377e4ae000 r--p 00000000 00:00 0             [vvar_vclock]",
		"rd mr pf io de dd")
	MAPPING("7f377e4ae000-7f377e4b0000 r-xp 00000000 00:00 0             [vdso]",
		"rd ex mr mw me de")
	MAPPING("7ffee767e000-7ffee769f000 rw-p 00000000 00:00 0             [stack]",
		"rd wr mr mw me gd ac")
	MAPPING("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0     [vsyscall]",
		"ex");

static const char shared_memory[] =
	MAPPING("7f0000000000-7f0000002000 rw-s 00000000 00:01 1032 /dev/zero (deleted)",
		"rd wr sh")
	MAPPING("7f0000003000-7f0000004000 rw-p 00001000 00:01 7 /memfd:demo (deleted)",
		"rd wr")
	MAPPING("7f0000005000-7f0000006000 rw-s 00000000 fe:00 7 /memfd:demo (deleted)",
		"rd wr sh")
	MAPPING("7f0000007000-7f0000008000 rw-p 00000000 00:06 4 /dev/zero",
		"rd wr")
	"7f0000200000-7f0000400000 rw-s 00000000 00:11 5 /anon_hugepage (deleted)\n"
	"KernelPageSize:     2048 kB\nVmFlags: rd wr sh ht \n"
	"7f0000400000-7f0000600000 rw-p 00200000 00:11 6 /memfd:huge (deleted)\n"
	"KernelPageSize:     2048 kB\nVmFlags: rd wr ht \n";

static const char special[] =
	MAPPING("10000-11000 rw-p 00000000 00:00 0 ",
		"rd wr nr wf dd dp")
	MAPPING("20000-21000 ---p 00000000 00:00 0 ",
		"mr mw me nr")
	"400000-600000 rw-p 00000000 00:11 14014 /anon_hugepage (deleted)\n"
	"KernelPageSize:     2048 kB\nVmFlags: rd wr de ht \n"
	MAPPING("700000-701000 r-xp 00000000 00:00 0 [uprobes]",
		"rd ex");

static const char *const refused[] = {
	MAPPING("10000-11000 rw-s 00000000 00:10 5 anon_inode:[io_uring]", "rd wr sh mm"),
	MAPPING("10000-11000 rw-s 00000000 00:13 5 /[aio] (deleted)", "rd wr sh"),
	MAPPING("10000-11000 rw-s 00000000 00:01 0 /SYSV00000000 (deleted)", "rd wr sh"),
	MAPPING("10000-11000 rw-s 00000000 00:06 9 /dev/mem", "rd wr sh io pf"),
	MAPPING("10000-11000 rw-p 00000000 00:00 0 ", "rd wr um"),
	MAPPING("10000-11000 rw-p 00000000 00:00 0 ", "rd wr ss"),
	MAPPING("400000-600000 rw-s 00000000 00:11 5 /mnt/huge/a (deleted)", "rd wr sh ht"),
	MAPPING("10000-11000 rw-s 00000000 00:08 5 socket:[99]", "rd wr sh"),
	MAPPING("10000-11000 rw-s 00000000 00:01 5 /i915 (deleted)", "rd wr sh"),
	"10000-11000 rw-p 00000000 00:00 0\nProtectionKey:         1\nVmFlags: rd wr\n",
};
/* clang-format on */

static void test_program(void **state)
{
	struct result res = classify_text(program);
	const struct vma *v = res.vmas.data;

	assert_int_equal(res.r, 0);
	assert_int_equal(res.vmas.len, 8);
	assert_int_equal(v[0].status, VMA_AREA_REGULAR | VMA_FILE_PRIVATE);
	assert_int_equal(v[0].pgoff, 0x2000);
	assert_int_equal(v[0].flags, MAP_PRIVATE);
	assert_int_equal(v[0].ino, 247134);
	assert_int_equal(v[0].dev, makedev(0xfe, 0));
	assert_string_equal(v[0].path, "/usr/bin/cat");
	assert_int_equal(v[1].status, VMA_AREA_REGULAR | VMA_ANON_PRIVATE | VMA_AREA_HEAP);
	assert_int_equal(v[2].status, VMA_AREA_REGULAR | VMA_ANON_PRIVATE);
	assert_int_equal(v[2].flags, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED);
	assert_int_equal(v[2].madv, 1 << MADV_DONTFORK | 1 << MADV_HUGEPAGE);
	assert_int_equal(v[3].status, VMA_AREA_REGULAR | VMA_FILE_SHARED);
	assert_string_equal(v[3].path, "/tmp/a\nb (x)");
	/* Both pieces in one. */
	assert_int_equal(v[4].status, VMA_AREA_REGULAR | VMA_ANON_PRIVATE | VMA_AREA_VVAR);
	assert_int_equal(v[4].end - v[4].start, 0x6000);
	assert_int_equal(v[4].madv, 1 << MADV_DONTDUMP);
	assert_int_equal(v[5].status, VMA_AREA_REGULAR | VMA_ANON_PRIVATE | VMA_AREA_VDSO);
	assert_int_equal(v[6].flags, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN);
	assert_int_equal(v[7].status, VMA_ANON_PRIVATE | VMA_AREA_VSYSCALL);
	result_done(&res);
}

static void test_shared_memory(void **state)
{
	struct result res = classify_text(shared_memory);
	const struct vma *v = res.vmas.data;

	assert_int_equal(res.r, 0);
	assert_int_equal(v[0].status, VMA_AREA_REGULAR | VMA_FILE_SHARED | VMA_AREA_MEMFD);
	assert_int_equal(v[1].status, VMA_AREA_REGULAR | VMA_FILE_PRIVATE | VMA_AREA_MEMFD);
	assert_int_equal(v[1].pgoff, 0x1000);
	/* The name alone doesn't make a memfd. */
	assert_int_equal(v[2].status, VMA_AREA_REGULAR | VMA_FILE_SHARED);
	assert_int_equal(res.devices.len, 1);
	assert_int_equal(res.devices.data[0], 3);
	assert_int_equal(v[4].status, VMA_AREA_REGULAR | VMA_FILE_SHARED | VMA_AREA_MEMFD);
	assert_int_equal(v[4].flags, MAP_SHARED | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT);
	assert_int_equal(v[5].status, VMA_AREA_REGULAR | VMA_FILE_PRIVATE | VMA_AREA_MEMFD);
	assert_int_equal(v[5].pgoff, 0x200000);
	result_done(&res);
}

static void test_flags(void **state)
{
	struct result res = classify_text(special);
	const struct vma *v = res.vmas.data;

	assert_int_equal(res.r, 0);
	assert_int_equal(res.vmas.len, 3);
	assert_int_equal(v[0].flags, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_NORESERVE);
	assert_int_equal(v[0].madv, 1 << MADV_DONTDUMP | 1 << MADV_WIPEONFORK);
	assert_int_equal(v[1].prot, PROT_NONE);
	assert_int_equal(v[2].flags,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT);
	assert_true(res.uprobes);
	result_done(&res);
}

static void test_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct result res = classify_text(refused[i]);

		assert_true(res.r < 0);
		assert_int_equal(res.err.kind, ERR_REFUSED);
		assert_true(res.err.hint[0]);
		result_done(&res);
	}
}

static void test_junk(void **state)
{
	static const char *const texts[] = {
		"VmFlags: rd\n",
		"10000 rw-p\n",
		"11000-10000 rw-p 00000000 00:00 0\n",
		"10000-11000 rw-q 00000000 00:00 0\n",
		"10000-11000 rw-p 00000000 0000 0\n",
		"10000-11000 rw-p 00000000 00:00 0\nKernelPageSize: 0 kB\n",
		"10000-11000 rw-p 00000000 00:00 0\nKernelPageSize: 12 kB\n",
		"10000-11000 rw-p 00000000 00:00 0\nKernelPageSize: 4294967296 kB\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct result res = classify_text(texts[i]);

		assert_true(res.r < 0);
		assert_int_equal(res.err.kind, ERR_INPUT);
		result_done(&res);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program), cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_flags),	cmocka_unit_test(test_refused),
		cmocka_unit_test(test_junk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
