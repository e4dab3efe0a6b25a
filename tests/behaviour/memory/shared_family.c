/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared anonymous memory among parent, child and grandchild stays shared: each sees what the
 * others write after the restore, through windows of different size and protection.
 */
#include "crew.h"
#include "maps.h"

TEST("shared anonymous memory among three generations")

enum { LEN = 32 * PAGE };

static void grandchild(struct crew *c, char *p)
{
	MUST(mprotect(p, LEN, PROT_READ) == 0);
	crew_ready(c);
	crew_wait(c, 2);
	CHECK(pattern_is(p, PAGE, 1) && p[3 * PAGE] == 33 && p[5 * PAGE] == 55,
	      "the grandchild doesn't see what parent and child wrote");
	CHECK(touch_write(p) == SIGSEGV, "the grandchild may write");
	_exit(0);
}

static void child(struct crew *c, char *p)
{
	pid_t pid = crew_fork();

	if (pid == 0)
		grandchild(c, p);
	MUST(munmap(p, 2 * PAGE) == 0);
	p[4 * PAGE] = 44;
	crew_ready(c);
	CHECK(p[3 * PAGE] == 33, "the child doesn't see what the parent wrote");
	CHECK(strcmp(map_perms(p), "none") == 0, "what the child had unmapped is there");
	p[5 * PAGE] = 55;
	crew_go(c, 2);
	crew_join(pid);
	_exit(0);
}

int main(void)
{
	struct crew *c = crew_new();
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *own = map_new(LEN, PROT_READ | PROT_WRITE, MAP_SHARED);
	pid_t pid;

	pattern_fill(p, PAGE, 1);
	pattern_fill(own, LEN, 9);
	pid = crew_fork();
	if (pid == 0)
		child(c, p);
	crew_gather(c, 2);
	FREEZE();
	CHECK(p[4 * PAGE] == 44, "the parent lost what the child had written");
	CHECK(pattern_is(own, LEN, 9), "another object's bytes");
	p[3 * PAGE] = 33;
	crew_go(c, 1);
	crew_join(pid);
	CHECK(p[5 * PAGE] == 55, "the parent doesn't see what the child wrote");
	return 0;
}
