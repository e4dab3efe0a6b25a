/* SPDX-License-Identifier: Apache-2.0 */
/* 5,000 mappings, no two neighbours alike, each with a byte of its own. */
#include "maps.h"

enum { N = 5000 };

static int prot_of(size_t i)
{
	return i % 3 == 0 ? PROT_READ : i % 3 == 1 ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC;
}

static int count_maps(const char *from, const char *to)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	struct map m;
	int n = 0;

	MUST(f);
	while (fgets(line, sizeof(line), f))
		n += map_parse(line, &m) && m.start >= (uintptr_t)from && m.end <= (uintptr_t)to;
	fclose(f);
	return n;
}

BEHAVE("5,000 mappings")
{
	char *p = (char *)map_new((N + 2) * PAGE, PROT_NONE, MAP_PRIVATE) + PAGE;
	int bad = 0;

	MUST(mprotect(p, N * PAGE, PROT_READ | PROT_WRITE) == 0);
	for (size_t i = 0; i < N; i++) {
		*(size_t *)(p + i * PAGE + i % 4000 / 8 * 8) = i + 1;
		MUST(mprotect(p + i * PAGE, PAGE, prot_of(i)) == 0);
	}
	MUST(count_maps(p, p + N * PAGE) == N);
	FREEZE();
	CHECK(count_maps(p, p + N * PAGE) == N, "%d mappings", count_maps(p, p + N * PAGE));
	for (size_t i = 0; i < N; i++) {
		bad += *(size_t *)(p + i * PAGE + i % 4000 / 8 * 8) != i + 1;
		if (i % 100 == 0)
			CHECK(touch_write(p + i * PAGE) == (i % 3 == 1 ? 0 : SIGSEGV),
			      "mapping %zu: protection", i);
	}
	CHECK_EQ(bad, 0);
}
