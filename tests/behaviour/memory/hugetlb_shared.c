/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory of huge pages: anonymous, shared with a child; a memfd with seals, mapped shared
 * and private. It stays one object, of huge pages, with its bytes and holes.
 */
#include "maps.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/stat.h>

#define HUGE (2 * MIB)

static char *shared;

static void child(void *unused)
{
	behave_child_ready();
	behave_await_go();
	for (int i = 0; i < 5000 && shared[HUGE] != 'p'; i++)
		behave_nap(1);
	CHECK(shared[HUGE] == 'p', "the child has another object");
	shared[HUGE + 1] = 'c';
}

static int sealed_memfd(void)
{
	int fd = memfd_create("huge one", MFD_HUGETLB | MFD_ALLOW_SEALING);
	char *p;

	if (fd < 0)
		behave_skip("no memfd of huge pages: %m");
	MUST(ftruncate(fd, 3 * HUGE) == 0);
	p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, HUGE);
	MUST(p != MAP_FAILED);
	pattern_fill(p, HUGE, 7);
	MUST(munmap(p, HUGE) == 0);
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

/* Blocks in use; a fault in a hole would add to them. */
static long blocks_of(int fd)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	return (long)st.st_blocks;
}

static void check_memfd(int fd, const char *ro, const char *own)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

	CHECK_EQ(fcntl(fd, F_GET_SEALS), seals);
	CHECK_EQ(blocks_of(fd) * 512, HUGE);
	CHECK(pattern_is(ro, HUGE, 7), "the memfd has other bytes");
	CHECK(pattern_is(own, PAGE, 8) && pattern_is(own + HUGE / 2, PAGE, 9),
	      "its private mapping has other bytes");
	CHECK(map_has_flag(ro, "ht") && map_has_flag(own, "ht"), "no huge pages any more");
}

BEHAVE("shared hugetlb mappings", .huge_pages = 16)
{
	char *ro, *own;
	int fd;
	pid_t pid;

	shared = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (shared == MAP_FAILED)
		behave_skip("no huge pages can be reserved (vm.nr_hugepages)");
	fd = sealed_memfd();
	ro = mmap(NULL, HUGE, PROT_READ, MAP_SHARED, fd, HUGE);
	own = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, HUGE);
	MUST(ro != MAP_FAILED && own != MAP_FAILED);
	pattern_fill(own, PAGE, 8);
	pattern_fill(own + HUGE / 2, PAGE, 9);
	pattern_fill(shared + 3 * PAGE, 100 * PAGE, 1); /* not from the beginning on */
	pid = behave_fork(child, NULL);
	behave_await_children(1);
	FREEZE();
	CHECK(is_zero(shared, 3 * PAGE) && pattern_is(shared + 3 * PAGE, 100 * PAGE, 1) &&
		      is_zero(shared + 103 * PAGE, HUGE - 103 * PAGE),
	      "the shared one has other bytes");
	CHECK(map_has_flag(shared, "ht") && map_has_flag(shared, "sh"), "it is another kind now");
	check_memfd(fd, ro, own);
	shared[HUGE] = 'p';
	behave_join(pid);
	CHECK(shared[HUGE + 1] == 'c', "the parent has another object");
}
