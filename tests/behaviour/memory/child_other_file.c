/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child that has mapped, in the place of its parent's mapping of a file, another part of it, the
 * same part read-only opened, and another file: it keeps its own view, and the parent too.
 */
#include "maps.h"
#include "stage.h"

#include <fcntl.h>

enum { PART = 4 * PAGE, LEN = 3 * PART };

static _Atomic int *stage;
static char *p;
static int fd, other;

static char *map_over(int file, int part, off_t offset)
{
	char *q = mmap(p + part * PART, PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file,
		       offset);

	MUST(q == p + part * PART);
	return q;
}

static void child(void *unused)
{
	char *shifted = map_over(fd, 0, PART), *same, *strange;
	static char want[2 * LEN];

	same = map_over(SYS(open("data", O_RDONLY)), 1, PART);
	strange = map_over(other, 2, 2 * PART);
	shifted[PAGE] = 'C';
	stage_ready(stage);
	pattern_fill(want, 2 * LEN, 1);
	CHECK(shifted[PAGE] == 'C', "the child lost a write");
	CHECK(memcmp(shifted, want + PART, PAGE) == 0, "the child's other part of the file");
	CHECK(memcmp(same, want + PART, PART) == 0, "the child's same part of the file");
	pattern_fill(want, 2 * LEN, 2);
	CHECK(memcmp(strange, want + 2 * PART, PART) == 0, "the child's other file");
}

static int create(const char *name, uint64_t seed)
{
	static char data[2 * LEN];
	int file = SYS(open(name, O_CREAT | O_TRUNC | O_RDWR, 0644));

	pattern_fill(data, sizeof(data), seed);
	MUST(write(file, data, sizeof(data)) == sizeof(data));
	return file;
}

BEHAVE("a child with another view of its parent's file")
{
	static char want[LEN];
	pid_t pid;

	stage = stage_new();
	fd = create("data", 1);
	other = create("other", 2);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(p != MAP_FAILED);
	p[2 * PART] = 'P';
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	pattern_fill(want, LEN, 1);
	CHECK(p[2 * PART] == 'P', "the parent lost a write");
	CHECK(memcmp(p, want, 2 * PART) == 0, "the parent has other bytes");
	stage_set(stage, 1);
	behave_join(pid);
}
