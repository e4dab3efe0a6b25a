/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transparent huge pages under borders: protected as a whole, with one page of another protection
 * in the middle of one, split by a hole, locked, shared with a child that has rewritten one of
 * them. Each mapping has as much in huge pages after the restore as before, and its bytes.
 */
#include "maps.h"

#define HUGE (2 * MIB)
enum { N = 5 };

static struct part {
	const char *name;
	char *p;
	long huge_kib; /* AnonHugePages before the dump */
} parts[] = {
	{.name = "read-only"},	 {.name = "without access"}, {.name = "one page read-only"},
	{.name = "with a hole"}, {.name = "locked"},	     {.name = "shared with a child"},
};
enum { READ_ONLY, NO_ACCESS, BORDER, HOLE, LOCKED, SHARED, NPARTS };

static char *new_part(unsigned int seed)
{
	char *area = map_new((N + 2) * HUGE, PROT_NONE, MAP_PRIVATE);
	char *p = (char *)(((uintptr_t)area + HUGE) & ~(HUGE - 1));

	MUST(mprotect(p, N * HUGE, PROT_READ | PROT_WRITE) == 0);
	if (madvise(p, N * HUGE, MADV_HUGEPAGE) < 0)
		behave_skip("a kernel without huge pages");
	pattern_fill(p, 4 * HUGE, seed); /* the fifth stays empty */
	return p;
}

static void make_parts(void)
{
	for (unsigned int i = 0; i < NPARTS; i++)
		parts[i].p = new_part(i);
	MUST(mprotect(parts[READ_ONLY].p, N * HUGE, PROT_READ) == 0);
	MUST(mprotect(parts[NO_ACCESS].p, N * HUGE, PROT_NONE) == 0);
	MUST(mprotect(parts[BORDER].p + HUGE + 7 * PAGE, PAGE, PROT_READ) == 0);
	MUST(madvise(parts[HOLE].p + HUGE + 9 * PAGE, PAGE, MADV_DONTNEED) == 0);
	MUST(mlock(parts[LOCKED].p, 2 * HUGE) == 0);
}

static void note(void)
{
	for (int i = 0; i < NPARTS; i++)
		parts[i].huge_kib = map_kib(parts[i].p, "AnonHugePages");
}

static void check_huge(const struct part *p, const char *who)
{
	long kib = map_kib(p->p, "AnonHugePages");

	CHECK(kib == p->huge_kib, "%s, %s: %ld KiB of huge pages, were %ld", who, p->name, kib,
	      p->huge_kib);
}

static void child(void *unused)
{
	char *p = parts[SHARED].p;

	memset(p + HUGE, 'c', HUGE);
	note();
	behave_child_ready();
	behave_await_go();
	for (size_t i = 0; i < HUGE; i++)
		if (p[HUGE + i] != 'c')
			CHECK(false, "the child's own page, byte %zu", i);
	CHECK(pattern_is(p, HUGE, SHARED), "what the child inherited has other bytes");
	check_huge(&parts[SHARED], "child");
	check_huge(&parts[READ_ONLY], "child");
}

BEHAVE("huge pages with borders in them, and shared ones")
{
	const uint64_t words = HUGE / 8;
	char *hole;
	pid_t pid;

	make_parts();
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	note();
	if (parts[READ_ONLY].huge_kib < 2048)
		behave_skip("there is no room for huge pages");
	FREEZE();
	for (int i = 0; i < NPARTS; i++)
		check_huge(&parts[i], "parent");
	MUST(mprotect(parts[NO_ACCESS].p, N * HUGE, PROT_READ) == 0);
	for (unsigned int i = 0; i < NPARTS; i++) {
		if (i != HOLE)
			CHECK(pattern_is(parts[i].p, 4 * HUGE, i), "%s: bytes", parts[i].name);
		CHECK(is_zero(parts[i].p + 4 * HUGE, HUGE), "%s: the empty end", parts[i].name);
	}
	hole = parts[HOLE].p;
	CHECK(is_zero(hole + HUGE + 9 * PAGE, PAGE), "the hole has bytes");
	for (uint64_t i = 0; i < 4 * words; i++)
		if (i * 8 / PAGE != HUGE / PAGE + 9 &&
		    ((uint64_t *)hole)[i] != pattern_word(i, HOLE))
			CHECK(false, "word %lu around the hole", (unsigned long)i);
	CHECK(strcmp(map_perms(parts[BORDER].p + HUGE + 7 * PAGE), "r--p") == 0, "the border");
	behave_join(pid);
}
