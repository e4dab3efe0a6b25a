/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What madvise has set lasts: the flags in smaps, and what they do. A child that is forked after
 * the restore doesn't get DONTFORK memory and gets WIPEONFORK memory as zeros.
 */
#include "maps.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum { LEN = 16 * PAGE };

static struct {
	const char *name, *flag;
	int advice;
	bool optional; /* a kernel may be built without it */
	char *p;
} states[] = {
	{"DONTFORK", "dc", MADV_DONTFORK, false},     {"WIPEONFORK", "wf", MADV_WIPEONFORK, false},
	{"MERGEABLE", "mg", MADV_MERGEABLE, true},    {"HUGEPAGE", "hg", MADV_HUGEPAGE, true},
	{"NOHUGEPAGE", "nh", MADV_NOHUGEPAGE, true},  {"DONTDUMP", "dd", MADV_DONTDUMP, false},
	{"SEQUENTIAL", "sr", MADV_SEQUENTIAL, false}, {"RANDOM", "rr", MADV_RANDOM, false},
	{"no advice", "", MADV_NORMAL, false},
};
enum { N = sizeof(states) / sizeof(states[0]) };

static void check_flags(void)
{
	for (int i = 0; i < N; i++) {
		if (!states[i].p)
			continue;
		CHECK(pattern_is(states[i].p, LEN, (unsigned)i), "%s: bytes", states[i].name);
		for (int j = 0; j < N - 1; j++) {
			CHECK(map_has_flag(states[i].p, states[j].flag) == (i == j),
			      "%s: flag %s is wrong", states[i].name, states[j].flag);
		}
	}
}

static void late_child(void *unused)
{
	CHECK(strcmp(map_perms(states[0].p), "none") == 0, "DONTFORK was forked");
	CHECK(is_zero(states[1].p, LEN), "WIPEONFORK wasn't wiped");
	CHECK(pattern_is(states[N - 1].p, LEN, N - 1), "the child has other bytes");
}

BEHAVE("each madvise state")
{
	for (int i = 0; i < N; i++) {
		char *p = (char *)map_new(LEN + 2 * PAGE, PROT_NONE, MAP_PRIVATE) + PAGE;

		MUST(mprotect(p, LEN, PROT_READ | PROT_WRITE) == 0);
		pattern_fill(p, LEN, (unsigned)i);
		if (madvise(p, LEN, states[i].advice) == 0)
			states[i].p = p;
		else
			MUST(states[i].optional);
	}
	check_flags();
	FREEZE();
	check_flags();
	behave_join(behave_fork(late_child, NULL));
}
