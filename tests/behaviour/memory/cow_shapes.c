/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that are shared by copy-on-write in other ways than a child with its parent: all of them
 * are shared after a restore as they were before (PSS summed, within 2%), with all bytes right.
 *
 *	unmapped	children have it from a parent that has no such area any more
 *	rewritten	... that has written to all of it since
 *	inherited	a grandchild with its grandparent; the child between has written to all of
 *it orphaned	siblings whose parent is dead, and who are children of another one now
 */
#include "maps.h"
#include "stage.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#define LEN   (4 * MIB)
#define WORDS (LEN / 8)
enum { SHARERS = 3, NPIDS = 7 };

static uint64_t *unmapped, *rewritten, *inherited, *orphaned;
static _Atomic int *stage;
static _Atomic int *pids; /* of all but the first, behind the stage */

static long pss_kib(pid_t pid)
{
	char path[64], line[128];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Pss_Anon:", 9) == 0)
			kib = strtol(line + 9, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib;
}

static long pss_of_all(void)
{
	long sum = pss_kib(getpid());

	for (int i = 0; i < NPIDS; i++)
		sum += pss_kib(pids[i]);
	return sum;
}

static uint64_t *area(unsigned int seed)
{
	uint64_t *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	pattern_fill(p, LEN, seed);
	return p;
}

/* One page of it is its own. */
static void sharer(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg, own = me * PAGE / 8;

	pids[me] = getpid();
	pattern_fill(unmapped + own, PAGE, 20 + (unsigned int)me);
	stage_ready(stage);
	CHECK(pattern_is(unmapped + own, PAGE, 20 + (unsigned int)me), "its own page");
	for (size_t i = 0; i < WORDS; i++)
		if (i < own || i >= own + PAGE / 8)
			CHECK(unmapped[i] == pattern_word(i, 1), "unmapped by the parent: %zu", i);
	CHECK(pattern_is(rewritten, LEN, 2), "rewritten by the parent");
	CHECK(pattern_is(inherited, LEN, 3), "an untouched area");
}

static void grandchild(void *arg)
{
	pids[3] = getpid();
	stage_ready(stage);
	CHECK(pattern_is(inherited, LEN, 3), "what the grandparent has");
}

static void between(void *arg)
{
	pid_t pid = behave_fork(grandchild, NULL);

	pids[4] = getpid();
	pattern_fill(inherited, LEN, 4);
	stage_ready(stage);
	CHECK(pattern_is(inherited, LEN, 4), "the child's own");
	behave_join(pid);
}

static void orphan(void *arg)
{
	pids[(uintptr_t)arg] = getpid();
	stage_ready(stage);
	CHECK(pattern_is(orphaned, LEN, 5), "what the orphans share");
}

static void short_lived(void *arg)
{
	/* Away from where the other areas will be: one address can't be lent twice. */
	orphaned = mmap((void *)0x200000000000, LEN, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	MUST(orphaned != MAP_FAILED);
	pattern_fill(orphaned, LEN, 5);
	behave_fork(orphan, (void *)5);
	behave_fork(orphan, (void *)6);
	_exit(0);
}

BEHAVE("pages shared among siblings, orphans and generations stay shared")
{
	pid_t sharers[SHARERS], middle;
	long before, after;
	int status;

	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	stage = stage_new();
	pids = stage + 16;
	middle = behave_fork(short_lived, NULL);
	MUST(waitpid(middle, &status, 0) == middle && status == 0);
	unmapped = area(1);
	rewritten = area(2);
	inherited = area(3);
	for (uintptr_t i = 0; i < SHARERS; i++)
		sharers[i] = behave_fork(sharer, (void *)i);
	middle = behave_fork(between, NULL);
	behave_await_children(NPIDS);
	MUST(munmap(unmapped, LEN) == 0);
	pattern_fill(rewritten, LEN, 6);
	before = pss_of_all();
	FREEZE();
	after = pss_of_all();
	CHECK(after <= before + before / 50, "the tree needs %ld KiB, before it was %ld", after,
	      before);
	CHECK(touch_read(unmapped) != 0, "the parent has the area that it unmapped");
	CHECK(pattern_is(rewritten, LEN, 6), "the parent's own");
	CHECK(pattern_is(inherited, LEN, 3), "what the parent never wrote to again");
	stage_set(stage, 1);
	for (int i = 0; i < SHARERS; i++)
		behave_join(sharers[i]);
	behave_join(middle);
	behave_join(pids[5]);
	behave_join(pids[6]);
}
