/* SPDX-License-Identifier: Apache-2.0 */
/* A few hundred MiB with a pattern, holes of many sizes and zero pages among it: every byte right.
 */
#include "maps.h"

#define LEN (192 * MIB)

/* A page is one of: data, never touched, written with zeros. */
static int kind_of(size_t page)
{
	size_t x = page * 0x9e3779b1u >> 7;

	return page % 512 < 300 ? 0 : x % 3 == 0 ? 0 : x % 3 == 1 ? 1 : 2;
}

BEHAVE("a large memory with holes")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	int bad = 0;

	MUST(madvise(p, LEN, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	for (size_t i = 0; i < LEN / PAGE; i++) {
		if (kind_of(i) == 0)
			pattern_fill(p + i * PAGE, PAGE, i);
		else if (kind_of(i) == 2)
			memset(p + i * PAGE, 0, PAGE);
	}
	FREEZE();
	for (size_t i = 0; i < LEN / PAGE; i++)
		bad += kind_of(i) == 0 ? !pattern_is(p + i * PAGE, PAGE, i)
				       : !is_zero(p + i * PAGE, PAGE);
	CHECK_EQ(bad, 0);
}
