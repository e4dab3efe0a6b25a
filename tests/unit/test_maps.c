/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings that a pre-dump looks at: mem/maps.c. */
#include "base/auto.h"
#include "mem/maps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static struct maps take(const char *const *lines, size_t n)
{
	struct maps_ctx ctx = {.shm_dev = makedev(0, 1)};
	struct maps m = {0};

	*vec_push(&ctx.hugetlb_devs) = makedev(0, 0x1f);
	for (size_t i = 0; i < n; i++)
		maps_take(&ctx, lines[i], 7, &m);
	maps_ctx_done(&ctx);
	return m;
}

static void test_private(void **state)
{
	static const char *const lines[] = {
		"55d0c0000000-55d0c0002000 r-xp 00002000 fe:00 247134   /usr/bin/cat",
		"55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0        [heap]",
		"7f0000000000-7f0000001000 ---p 00000000 00:00 0 ",
		"7f0000001000-7f0000002000 rw-p 00003000 00:01 77       /memfd:x (deleted)",
		"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0        [stack]",
	};
	struct maps m = take(lines, ARRAY_SIZE(lines));
	const struct vma *v = m.vmas.data;

	assert_int_equal(m.vmas.len, 5);
	assert_int_equal(m.shared.len, 0);
	assert_int_equal(v[0].start, 0x55d0c0000000);
	assert_int_equal(v[0].end, 0x55d0c0002000);
	assert_int_equal(v[0].prot, PROT_READ | PROT_EXEC);
	assert_int_equal(v[0].status, VMA_AREA_REGULAR | VMA_FILE_PRIVATE);
	assert_int_equal(v[1].status, VMA_AREA_REGULAR | VMA_ANON_PRIVATE);
	assert_int_equal(v[1].flags, MAP_PRIVATE | MAP_ANONYMOUS);
	assert_int_equal(v[2].prot, 0);
	assert_int_equal(v[3].pgoff, 0x3000);
	assert_int_equal(v[3].status, VMA_AREA_REGULAR | VMA_FILE_PRIVATE);
	maps_done(&m);
}

/* Not the program's, not memory, or a pool that reading must not drain. */
static void test_left_out(void **state)
{
	static const char *const lines[] = {
		"7f0000000000-7f0000200000 rw-p 00000000 00:0f 5        /anon_hugepage (deleted)",
		"7f0000200000-7f0000400000 rw-p 00000000 00:1f 6        /mnt/huge/file",
		"7f0000400000-7f0000600000 rw-p 00000000 00:10 6        /memfd:huge (deleted)",
		"7f0000600000-7f0000601000 rw-p 00000000 00:06 6        /dev/mem",
		"7f0000700000-7f0000701000 rw-s 00000000 fe:00 6        /some/file",
		"7f0000800000-7f0000801000 rw-p 00000000 00:0e 6        anon_inode:[perf_event]",
		"7f0000900000-7f0000901000 rw-s 00000000 00:01 6        /SYSV00000000 (deleted)",
		"7ffc00100000-7ffc00104000 r--p 00000000 00:00 0        [vvar]",
		"7ffc00104000-7ffc00106000 r--p 00000000 00:00 0        [vvar_vclock]",
		"7ffc00106000-7ffc00108000 r-xp 00000000 00:00 0        [vdso]",
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]",
		"nonsense",
	};
	struct maps m = take(lines, ARRAY_SIZE(lines));

	assert_int_equal(m.vmas.len, 0);
	assert_int_equal(m.shared.len, 0);
	maps_done(&m);
}

static void test_shared(void **state)
{
	static const char *const lines[] = {
		"7f0000000000-7f0000001000 rw-s 00000000 00:01 12       /dev/zero (deleted)",
		"7f0000001000-7f0000002000 rw-s 00001000 00:01 12       /dev/zero (deleted)",
		"7f0000002000-7f0000003000 r--s 00000000 00:01 13       /memfd:a (deleted)",
	};
	struct maps m = take(lines, ARRAY_SIZE(lines));

	assert_int_equal(m.vmas.len, 0);
	assert_int_equal(m.shared.len, 2);
	assert_int_equal(m.shared.data[0].ino, 12);
	assert_int_equal(m.shared.data[0].end, 0x7f0000001000);
	assert_int_equal(m.shared.data[1].ino, 13);
	assert_int_equal(m.shared.data[1].pid, 7);
	maps_done(&m);
}

/* The file is read in pieces, between which mappings can grow or merge. */
static void test_overlapping(void **state)
{
	static const char *const lines[] = {
		"7f0000000000-7f0000004000 rw-p 00000000 00:00 0 ",
		"7f0000002000-7f0000003000 rw-p 00000000 00:00 0 ",
		"7f0000003000-7f0000008000 rw-p 00000000 00:00 0 ",
	};
	struct maps m = take(lines, ARRAY_SIZE(lines));

	assert_int_equal(m.vmas.len, 2);
	assert_int_equal(m.vmas.data[1].start, 0x7f0000004000);
	assert_int_equal(m.vmas.data[1].end, 0x7f0000008000);
	maps_done(&m);
}

static void test_hugetlb_mounts(void **state)
{
	dev_t dev = 0;

	assert_true(maps_hugetlb_mount(
		"36 35 0:31 / /dev/hugepages rw shared:16 - hugetlbfs hugetlbfs rw,pagesize=2M",
		&dev));
	assert_int_equal(dev, makedev(0, 31));
	assert_false(maps_hugetlb_mount("36 35 0:32 / /tmp rw - tmpfs tmpfs rw", &dev));
	assert_false(maps_hugetlb_mount("- hugetlbfs ", &dev));
	assert_false(maps_hugetlb_mount("", &dev));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),	       cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_shared),	       cmocka_unit_test(test_overlapping),
		cmocka_unit_test(test_hugetlb_mounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
