/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared anonymous memory among parent, child and grandchild stays shared: each sees what the
 * others write after the restore, through windows of different size and protection.
 */
#include "maps.h"
#include "stage.h"

enum { LEN = 32 * PAGE };

static _Atomic int *stage;

static void grandchild(void *arg)
{
	char *p = arg;

	MUST(mprotect(p, LEN, PROT_READ) == 0);
	stage_ready(stage);
	stage_wait(stage, 2);
	CHECK(pattern_is(p, PAGE, 1) && p[3 * PAGE] == 33 && p[5 * PAGE] == 55,
	      "the grandchild doesn't see what parent and child wrote");
	CHECK(touch_write(p) == SIGSEGV, "the grandchild may write");
}

static void child(void *arg)
{
	pid_t pid = behave_fork(grandchild, arg);
	char *p = arg;

	MUST(munmap(p, 2 * PAGE) == 0);
	p[4 * PAGE] = 44;
	stage_ready(stage);
	CHECK(p[3 * PAGE] == 33, "the child doesn't see what the parent wrote");
	CHECK(strcmp(map_perms(p), "none") == 0, "what the child had unmapped is there");
	p[5 * PAGE] = 55;
	stage_set(stage, 2);
	behave_join(pid);
}

BEHAVE("shared anonymous memory among three generations")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *own = map_new(LEN, PROT_READ | PROT_WRITE, MAP_SHARED);
	pid_t pid;

	stage = stage_new();
	pattern_fill(p, PAGE, 1);
	pattern_fill(own, LEN, 9);
	pid = behave_fork(child, p);
	behave_await_children(2);
	FREEZE();
	CHECK(p[4 * PAGE] == 44, "the parent lost what the child had written");
	CHECK(pattern_is(own, LEN, 9), "another object's bytes");
	p[3 * PAGE] = 33;
	stage_set(stage, 1);
	behave_join(pid);
	CHECK(p[5 * PAGE] == 55, "the parent doesn't see what the child wrote");
}
