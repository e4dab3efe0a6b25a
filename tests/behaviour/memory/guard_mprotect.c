/* SPDX-License-Identifier: Apache-2.0 */
/* Guard pages made with mprotect, between pages with data, as thread stacks have them. */
#include "maps.h"

enum { N = 40 };

BEHAVE("guard pages by mprotect")
{
	char *p = map_new(N * 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_STACK);

	for (size_t i = 0; i < N; i++) {
		pattern_fill(p + (3 * i + 1) * PAGE, 2 * PAGE, i);
		MUST(mprotect(p + 3 * i * PAGE, PAGE, PROT_NONE) == 0);
	}
	FREEZE();
	for (size_t i = 0; i < N; i++) {
		CHECK(touch_read(p + 3 * i * PAGE) == SIGSEGV, "guard %zu can be read", i);
		CHECK(touch_write(p + (3 * i + 1) * PAGE - 1) == SIGSEGV, "guard %zu: written", i);
		CHECK(pattern_is(p + (3 * i + 1) * PAGE, 2 * PAGE, i), "stack %zu: bytes", i);
		CHECK(touch_write(p + (3 * i + 1) * PAGE) == 0, "stack %zu can't be written", i);
	}
}
