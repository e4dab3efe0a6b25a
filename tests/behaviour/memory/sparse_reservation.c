/* SPDX-License-Identifier: Apache-2.0 */
/* A reservation of 1 TiB with a few pages in it costs nothing, and keeps them. */
#include "maps.h"

#define TIB (1ul << 40)
enum { N = 50 };

BEHAVE("a sparse reservation of 1 TiB")
{
	char *p = mmap(NULL, TIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *none = mmap(NULL, TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct map before, after;

	if (p == MAP_FAILED || none == MAP_FAILED)
		behave_skip("1 TiB of addresses can't be had: %m");
	MUST(madvise(p, TIB, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	MUST(mprotect(none + TIB / 2, PAGE, PROT_READ | PROT_WRITE) == 0);
	for (size_t i = 0; i < N; i++)
		pattern_fill(p + TIB / N / PAGE * PAGE * i, PAGE, i);
	pattern_fill(none + TIB / 2, PAGE, 99);
	MUST(map_at(p, &before));
	FREEZE();
	CHECK(map_at(p, &after) && after.start == before.start && after.end == before.end,
	      "the reservation is another");
	CHECK(map_has_flag(p, "nr") && map_has_flag(none, "nr"), "MAP_NORESERVE is lost");
	for (size_t i = 0; i < N; i++)
		CHECK(pattern_is(p + TIB / N / PAGE * PAGE * i, PAGE, i), "page %zu: bytes", i);
	CHECK(pattern_is(none + TIB / 2, PAGE, 99), "the page in the second one: bytes");
	CHECK(touch_read(none) == SIGSEGV, "the second one can be read");
	CHECK(map_kib(p, "Rss") <= 4 * N, "%ld KiB are resident", map_kib(p, "Rss"));
	CHECK(is_zero(p + PAGE, PAGE), "an untouched page isn't zero");
}
