/* SPDX-License-Identifier: Apache-2.0 */
/* A hugetlb mapping keeps its bytes, or is refused where that can't be. */
#include "maps.h"

BEHAVE("hugetlb mappings")
{
	char *p = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		behave_skip("no huge pages are reserved (vm.nr_hugepages)");
	pattern_fill(p, 2 * MIB, 1);
	FREEZE();
	CHECK(pattern_is(p, 2 * MIB, 1), "other bytes");
	CHECK(map_has_flag(p, "ht"), "these are no huge pages any more");
}
