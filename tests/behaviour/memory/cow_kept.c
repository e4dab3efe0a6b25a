/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that fork() has left a family in common stay common while torpor reads them (a process that
 * was left running has them still), and are common again after a restore, also from a chain.
 */
#include "maps.h"

enum { LEN = 16 * MIB };

static char *whole, *small;

static void check_shared(const char *who)
{
	long private = map_kib(whole, "Private_Dirty"), shared = map_kib(whole, "Shared_Dirty");

	CHECK(private <= 64 && shared >= (LEN >> 10) - 64,
	      "%s: %ld KiB are its own, %ld KiB are shared", who, private, shared);
	/* Too little to be worth the lending of a descriptor: read from outside. */
	private = map_kib(small, "Private_Dirty");
	CHECK(private <= 16, "%s: %ld KiB of the small one are its own", who, private);
	CHECK(pattern_is(whole, LEN, 1) && pattern_is(small, 64 * PAGE, 2), "%s: bytes", who);
}

static void child(void *unused)
{
	behave_child_ready();
	behave_await_go();
	check_shared("child");
}

BEHAVE("pages in common stay so")
{
	pid_t pids[3];

	whole = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	map_new(PAGE, PROT_NONE, MAP_PRIVATE);
	small = map_new(64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	map_new(PAGE, PROT_NONE, MAP_PRIVATE);
	MUST(madvise(whole, LEN, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	pattern_fill(whole, LEN, 1);
	pattern_fill(small, 64 * PAGE, 2);
	for (int i = 0; i < 3; i++)
		pids[i] = behave_fork(child, NULL);
	behave_await_children(3);
	FREEZE();
	check_shared("parent");
	for (int i = 0; i < 3; i++)
		behave_join(pids[i]);
}
