/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree in which pages are moved in every way there is, at the same time: by tasks that write
 * them by themselves (much memory), from outside because there is little, or because the task may
 * not write files (a file size limit), has system call filters or no free descriptor, and from
 * memory that it can't read itself.
 */
#include "maps.h"
#include "seccomp.h"
#include "stage.h"

#include <fcntl.h>
#include <sys/resource.h>

enum { BIG, LIMITED, FILTERED, FULL_TABLE, UNREADABLE, PIECES, SMALL, NKINDS = 24 };

static _Atomic int *stage;

static size_t size_of(size_t kind)
{
	return kind >= SMALL ? 64 * PAGE : 12 * MIB;
}

static void fill_table(void)
{
	struct rlimit lim = {.rlim_cur = 64, .rlim_max = 64};

	SYS(setrlimit(RLIMIT_NOFILE, &lim));
	while (fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) >= 0)
		;
}

static void prepare(size_t kind, uint64_t *p, size_t len)
{
	const struct rlimit no_files = {.rlim_cur = MIB, .rlim_max = MIB};

	if (kind == LIMITED)
		SYS(setrlimit(RLIMIT_FSIZE, &no_files));
	if (kind == FILTERED)
		seccomp_add_errno(SYS_reboot, EPERM, 0);
	if (kind == UNREADABLE) /* a part in the midst */
		SYS(mprotect(p + len / 32, len / 4, PROT_NONE));
	for (size_t i = 0; kind == PIECES && i < len; i += 4 * PAGE)
		SYS(madvise((char *)p + i, PAGE, MADV_DONTNEED));
}

static void check(size_t kind, uint64_t *p, size_t len)
{
	size_t words = PAGE / 8, bad = 0;

	if (kind == UNREADABLE)
		SYS(mprotect(p + len / 32, len / 4, PROT_READ));
	for (size_t page = 0; page < len / PAGE; page++) {
		bool gone = kind == PIECES && page % 4 == 0;

		for (size_t i = 0; i < words; i += 16)
			bad += p[page * words + i] !=
			       (gone ? 0 : pattern_word(page * words + i, 7 + kind));
	}
	CHECK(bad == 0, "child %zu: %zu words are wrong", kind, bad);
}

static void child(void *arg)
{
	size_t kind = (size_t)(uintptr_t)arg, len = size_of(kind);
	uint64_t *p = map_new(len, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	pattern_fill(p, len, 7 + kind);
	prepare(kind, p, len);
	if (kind != FULL_TABLE) {
		stage_ready(stage);
	} else { /* readiness takes a descriptor */
		behave_child_ready();
		fill_table();
		atomic_fetch_add(stage + 1, 1);
		stage_wait(stage, 1);
	}
	check(kind, p, len);
}

BEHAVE("a tree of tasks whose pages are moved in different ways",
       .not_in_userns = "system call filters can be read with CAP_SYS_ADMIN only")
{
	pid_t pids[NKINDS];

	stage = stage_new();
	for (uintptr_t i = 0; i < NKINDS; i++)
		pids[i] = behave_fork(child, (void *)i);
	behave_await_children(NKINDS);
	stage_wait(stage + 1, 1);
	FREEZE();
	stage_set(stage, 1);
	for (int i = 0; i < NKINDS; i++)
		behave_join(pids[i]);
}
