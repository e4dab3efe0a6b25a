/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages belong into an image: mem/pagescan.c, on memory of the test itself. */
#include "base/auto.h"
#include "kernel/uapi/mman.h"
#include "mem/pagescan.h"

#include "../lib/zero_page.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096u

static void test_entries(void **state)
{
	const uint64_t zero = 0x1234;

	assert_true(pagescan_entry_wanted(PM_PRESENT | 5, PAGESCAN_DATA, zero));
	assert_true(pagescan_entry_wanted(PM_SWAP | 5, PAGESCAN_DATA, zero));
	assert_true(pagescan_entry_wanted(PM_PRESENT, PAGESCAN_DATA, 0)); /* frames hidden */
	assert_false(pagescan_entry_wanted(0, PAGESCAN_DATA, zero));
	assert_false(pagescan_entry_wanted(PM_PRESENT | zero, PAGESCAN_DATA, zero));
	assert_false(pagescan_entry_wanted(PM_PRESENT | PM_FILE | 5, PAGESCAN_DATA, zero));
	assert_false(pagescan_entry_wanted(PM_SWAP | PM_FILE, PAGESCAN_DATA, zero));
	assert_false(pagescan_entry_wanted(PM_GUARD_REGION | PM_SWAP, PAGESCAN_DATA, zero));
	assert_true(pagescan_entry_wanted(PM_GUARD_REGION, PAGESCAN_GUARDS, zero));
	assert_false(pagescan_entry_wanted(PM_PRESENT, PAGESCAN_GUARDS, zero));
}

/* Page 0 written, 1 only read, 2 untouched, 3 and 4 written. */
static void scan_own(bool old_kernel)
{
	volatile char *p =
		mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct vma v = {.start = (uintptr_t)p, .end = (uintptr_t)p + 5 * PAGE};
	struct target t = {.pid = getpid(), .proc = open("/proc/self", O_PATH | O_CLOEXEC)};
	struct pagescan *s = calloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	struct pagescan_region r;

	assert_non_null(s);
	p[0] = p[3 * PAGE] = p[4 * PAGE] = 1;
	(void)p[PAGE];
	assert_int_equal(pagescan_init(s, &t, PAGESCAN_DATA, PAGESCAN_PLAIN, &v, 1, &err), 0);
	s->old_kernel = old_kernel;
	assert_int_equal(pagescan_next(s, &r, &err), 1);
	assert_int_equal(r.start, v.start);
	/* Without privileges an old kernel hides which page is the zero page; some have none. */
	if (kernel_has_zero_page() && (!old_kernel || r.end == v.start + PAGE))
		assert_int_equal(r.end, v.start + PAGE);
	else
		assert_int_equal(r.end, v.start + 2 * PAGE);
	assert_int_equal(pagescan_next(s, &r, &err), 1);
	assert_int_equal(r.start, v.start + 3 * PAGE);
	assert_int_equal(r.end, v.end);
	assert_int_equal(pagescan_next(s, &r, &err), 0);
	pagescan_done(s);
	free(s);
	close(t.proc);
	munmap((void *)p, 5 * PAGE);
}

static void test_scan(void **state)
{
	scan_own(false);
}

static void test_scan_old_kernel(void **state)
{
	scan_own(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_old_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
