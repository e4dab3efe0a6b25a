/* SPDX-License-Identifier: Apache-2.0 */
/* A private hugetlb mapping keeps its bytes and its kind, in a process and in its child. */
#include "maps.h"

#define HUGE (2 * MIB)

static char *area;

/* One page is still its parent's, the other is its own. */
static void child(void *unused)
{
	pattern_fill(area, 64 * PAGE, 3);
	behave_child_ready();
	behave_await_go();
	CHECK(pattern_is(area, 64 * PAGE, 3), "the child's own page has other bytes");
	CHECK(pattern_is(area + HUGE, HUGE, 2), "what the child inherited has other bytes");
	CHECK(map_has_flag(area, "ht"), "the child's are no huge pages any more");
}

BEHAVE("private hugetlb mappings", .huge_pages = 12)
{
	pid_t pid;

	area = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (area == MAP_FAILED)
		behave_skip("no huge pages can be reserved (vm.nr_hugepages)");
	pattern_fill(area, HUGE, 1);
	pattern_fill(area + HUGE, HUGE, 2);
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	CHECK(pattern_is(area, HUGE, 1), "other bytes");
	CHECK(pattern_is(area + HUGE, HUGE, 2), "other bytes in the second one");
	CHECK(is_zero(area + 2 * HUGE, HUGE), "the one that was never touched isn't zero");
	CHECK(map_has_flag(area, "ht"), "these are no huge pages any more");
	behave_join(pid);
}
