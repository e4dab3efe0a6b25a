/* SPDX-License-Identifier: Apache-2.0 */
/* Locked memory stays locked: mlock, and mlock2 with MLOCK_ONFAULT, as VmLck and smaps show it. */
#include "maps.h"
#include "stage.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

enum { LEN = 32 * PAGE };

static long locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmLck:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib;
}

static _Atomic int *stage;
static char *inherited;

/* Locks aren't inherited: this one is the child's own, on pages that it shares with its parent. */
static void child(void *unused)
{
	MUST(mlock(inherited, 4 * PAGE) == 0);
	stage_ready(stage);
	CHECK(map_has_flag(inherited, "lo"), "the child's lock is lost");
	CHECK(!map_has_flag(inherited + 4 * PAGE, "lo"), "the child has too much locked");
	CHECK(pattern_is(inherited, LEN, 4), "the child has other bytes");
}

BEHAVE("mlock and mlock2")
{
	char *all = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *fault, *part, *none;
	long before;
	pid_t pid;

	map_new(PAGE, PROT_NONE, MAP_PRIVATE);
	fault = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	map_new(PAGE, PROT_NONE, MAP_PRIVATE);
	part = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	map_new(PAGE, PROT_NONE, MAP_PRIVATE);
	none = map_new(LEN, PROT_NONE, MAP_PRIVATE);
	pattern_fill(all, LEN, 1);
	pattern_fill(fault, PAGE, 2);
	pattern_fill(part, LEN, 3);
	MUST(mlock(all, LEN) == 0);
	MUST(mlock2(fault, LEN, MLOCK_ONFAULT) == 0);
	MUST(mlock(part + 4 * PAGE, 2 * PAGE) == 0);
	MUST(mlock(none, LEN) < 0 && errno == ENOMEM); /* locked all the same */
	stage = stage_new();
	inherited = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pattern_fill(inherited, LEN, 4);
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	before = locked_kib();
	MUST(before > 0 && map_has_flag(none, "lo"));
	FREEZE();
	CHECK(locked_kib() == before, "%ld KiB are locked, were %ld", locked_kib(), before);
	CHECK(map_has_flag(all, "lo") && !map_has_flag(all, "lf"), "mlock is lost");
	CHECK(map_has_flag(fault, "lo") && map_has_flag(fault, "lf"), "MLOCK_ONFAULT is lost");
	CHECK(map_kib(fault, "Rss") == 4, "MLOCK_ONFAULT has filled %ld KiB",
	      map_kib(fault, "Rss"));
	CHECK(map_has_flag(part + 4 * PAGE, "lo") && !map_has_flag(part, "lo"),
	      "the locked part isn't what it was");
	CHECK(map_has_flag(none, "lo"), "the lock of a PROT_NONE mapping is lost");
	CHECK(!map_has_flag(inherited, "lo"), "the parent has the child's lock");
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(pattern_is(all, LEN, 1) && pattern_is(fault, PAGE, 2) && pattern_is(part, LEN, 3),
	      "other bytes");
}
