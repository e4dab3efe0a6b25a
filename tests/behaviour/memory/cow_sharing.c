/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write sharing survives: a parent with 64 MiB and four children, each with 2% of its own,
 * need no more memory after a restore than before (PSS summed, within 2%), with all bytes right.
 */
#include "maps.h"
#include "stage.h"

enum { CHILDREN = 4, STEP = 50 };
#define LEN (64 * MIB)

static long pss_kib(pid_t pid)
{
	char path[64], line[128];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Pss:", 4) == 0)
			kib = strtol(line + 4, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib;
}

static long pss_of_all(const pid_t *pids)
{
	long sum = pss_kib(getpid());

	for (int i = 0; i < CHILDREN; i++)
		sum += pss_kib(pids[i]);
	return sum;
}

static _Atomic int *stage;
static uint64_t *p; /* LEN bytes */

/* Every STEP-th page is the child's own, with a seed of its own. */
static void child(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg, words = PAGE / 8, bad = 0;

	for (size_t page = me; page < LEN / PAGE; page += STEP)
		pattern_fill(p + page * words, PAGE, 100 + me);
	stage_ready(stage);
	for (size_t page = 0; page < LEN / PAGE; page++) {
		bool own = page % STEP == me;

		for (size_t i = 0; i < words; i += 64) {
			size_t at = own ? i : page * words + i;

			bad += p[page * words + i] != pattern_word(at, own ? 100 + me : 1);
		}
	}
	CHECK(bad == 0, "child %zu: %zu words are wrong", me, bad);
}

BEHAVE("copy-on-write memory of a tree stays shared")
{
	pid_t pids[CHILDREN];
	long before, after;

	stage = stage_new();
	p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pattern_fill(p, LEN, 1);
	for (uintptr_t i = 0; i < CHILDREN; i++)
		pids[i] = behave_fork(child, (void *)i);
	behave_await_children(CHILDREN);
	before = pss_of_all(pids);
	FREEZE();
	after = pss_of_all(pids);
	CHECK(after <= before + before / 50, "the tree needs %ld KiB, before it was %ld", after,
	      before);
	CHECK(pattern_is(p, LEN, 1), "the parent has other bytes");
	stage_set(stage, 1);
	for (int i = 0; i < CHILDREN; i++)
		behave_join(pids[i]);
}
