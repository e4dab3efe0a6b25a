/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child that unmapped, moved, replaced and re-protected parts of what it got from its parent,
 * and a grandchild that did so again: each has its own address space back.
 */
#include "maps.h"
#include "stage.h"

enum { PART = 16 * PAGE, LEN = 8 * PART };

static char *part(char *p, int i)
{
	return p + i * PART;
}

static _Atomic int *stage;

static void grandchild(void *arg)
{
	char *p = arg;

	MUST(mmap(part(p, 1), PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		  -1, 0) == part(p, 1));
	pattern_fill(part(p, 1), PART, 31);
	MUST(munmap(part(p, 0), PART) == 0);
	stage_ready(stage);
	CHECK(strcmp(map_perms(part(p, 0)), "none") == 0, "the grandchild has part 0");
	CHECK(pattern_is(part(p, 1), PART, 31), "the grandchild: part 1");
	CHECK(is_zero(part(p, 2), PART), "the grandchild: part 2");
	CHECK(pattern_is(part(p, 6), PART, 6), "the grandchild: part 6");
}

static void child(void *arg)
{
	char *p = arg, *moved, *fresh;
	pid_t pid;

	fresh = map_new(PART, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pattern_fill(fresh, PART, 26);
	MUST(munmap(part(p, 1), PART) == 0);
	MUST(mmap(part(p, 2), PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		  -1, 0) == part(p, 2));
	moved = mremap(part(p, 3), PART, 2 * PART, MREMAP_MAYMOVE);
	MUST(moved != MAP_FAILED && moved != part(p, 3));
	MUST(mprotect(part(p, 4), PART, PROT_NONE) == 0);
	MUST(mmap(part(p, 5), PART, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
		  -1, 0) == part(p, 5));
	pattern_fill(part(p, 5), PART, 25);
	MUST(madvise(part(p, 7), PART, MADV_DONTNEED) == 0);
	pid = behave_fork(grandchild, p);
	stage_ready(stage);
	CHECK(pattern_is(part(p, 0), PART, 0), "the child: part 0");
	CHECK(strcmp(map_perms(part(p, 1)), "none") == 0, "the child has part 1");
	CHECK(is_zero(part(p, 2), PART), "the child: part 2");
	CHECK(strcmp(map_perms(part(p, 3)), "none") == 0, "the child has part 3 in its old place");
	CHECK(pattern_is(moved, PART, 3) && is_zero(moved + PART, PART), "the child: part 3");
	CHECK(touch_read(part(p, 4)) == SIGSEGV && mprotect(part(p, 4), PART, PROT_READ) == 0 &&
		      pattern_is(part(p, 4), PART, 4),
	      "the child: part 4");
	CHECK(pattern_is(part(p, 5), PART, 25), "the child: part 5");
	CHECK(pattern_is(part(p, 6), PART, 6), "the child: part 6");
	CHECK(is_zero(part(p, 7), PART), "the child: part 7");
	CHECK(pattern_is(fresh, PART, 26), "the child: its own mapping");
	behave_join(pid);
}

BEHAVE("children whose mappings differ from their parent's")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pid_t pid;

	stage = stage_new();
	for (int i = 0; i < 8; i++)
		pattern_fill(part(p, i), PART, (unsigned)i);
	pid = behave_fork(child, p);
	behave_await_children(2);
	MUST(munmap(part(p, 6), PART) == 0); /* what only the children still have */
	FREEZE();
	stage_set(stage, 1);
	for (int i = 0; i < 8; i++) {
		if (i == 6)
			CHECK(strcmp(map_perms(part(p, i)), "none") == 0, "the parent has part 6");
		else
			CHECK(pattern_is(part(p, i), PART, (unsigned)i), "the parent: part %d", i);
	}
	behave_join(pid);
}
