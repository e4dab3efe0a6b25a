/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings at the lowest and at nearly the highest address, and one of each in between. */
#include "maps.h"

static const uintptr_t wanted[] = {0x10000,
				   0x7fff0000,
				   0xfffff000,
				   0x100000000,
				   0x200000000000,
				   0x7ff000000000,
				   0x7fffffff0000 - 16 * PAGE};
enum { N = sizeof(wanted) / sizeof(wanted[0]) };

BEHAVE("mappings at the ends of the address space")
{
	char *p[N];

	for (size_t i = 0; i < N; i++) {
		p[i] = mmap((void *)wanted[i], PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p[i] == MAP_FAILED)
			p[i] = NULL; /* the stack may have been put there */
		else
			pattern_fill(p[i], PAGE, i);
	}
	MUST(p[0] && p[3] && p[4]);
	FREEZE();
	for (size_t i = 0; i < N; i++)
		CHECK(!p[i] || pattern_is(p[i], PAGE, i), "%p: other bytes", (void *)p[i]);
}
