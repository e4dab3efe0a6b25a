/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name that must not survive us: between creating and unlinking it, a SIGKILL would leave it on
 * disk. So both happen in a child that isn't killed with us (CLONE_VM | CLONE_FILES | CLONE_VFORK,
 * a process of its own): it always runs to its end, and the descriptor it opened is ours as well.
 * It makes system calls only.
 */
#include "file/plant.h"

#include "base/auto.h"
#include "file/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STACK_LEN (64 * 1024)
#define MAX_DEPTH 64

struct job {
	const struct plant *p;
	char path[PATH_MAX];	/* relative; cut at slashes to name its directories */
	size_t made[MAX_DEPTH]; /* lengths of the directories that were made */
	int nmade;
	int result;
};

/* Like mkdir -p for all components but the last. */
static int make_dirs(struct job *j)
{
	for (char *p = j->path; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (mkdirat(j->p->root, j->path, 0700) == 0) {
			if (j->nmade == MAX_DEPTH) {
				(void)unlinkat(j->p->root, j->path, AT_REMOVEDIR);
				*p = '/';
				return -ENAMETOOLONG;
			}
			j->made[j->nmade++] = strlen(j->path);
		} else if (errno != EEXIST && errno != EROFS) {
			*p = '/';
			return -errno;
		}
	}
	return 0;
}

static void remove_dirs(struct job *j)
{
	while (j->nmade > 0) {
		char *end = &j->path[j->made[--j->nmade]];

		*end = '\0';
		(void)unlinkat(j->p->root, j->path, AT_REMOVEDIR);
		*end = '/';
	}
}

static int make(const struct job *j)
{
	const struct plant *p = j->p;

	if (p->from)
		return linkat(p->root, path_rel(p->from), p->root, j->path, 0);
	switch (p->mode & S_IFMT) {
	case S_IFDIR:
		return mkdirat(p->root, j->path, 0700);
	case S_IFLNK:
		return symlinkat(p->target, p->root, j->path);
	default:
		return mknodat(p->root, j->path, p->mode & (S_IFMT | 0600), p->rdev);
	}
}

static int open_made(const struct job *j)
{
	int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, fd;

	if (!j->p->from && S_ISREG(j->p->mode))
		flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
	fd = openat(j->p->root, j->path, flags);
	return fd < 0 ? -errno : fd;
}

static int run(void *arg)
{
	struct job *j = arg;

	j->result = make_dirs(j);
	if (j->result == 0) {
		if (make(j) < 0) {
			j->result = -errno;
		} else {
			j->result = open_made(j);
			(void)unlinkat(j->p->root, j->path,
				       !j->p->from && S_ISDIR(j->p->mode) ? AT_REMOVEDIR : 0);
		}
	}
	remove_dirs(j);
	return 0;
}

int plant_open(const struct plant *p)
{
	struct job *j;
	sigset_t all, old;
	char *stack;
	pid_t pid;
	int r;

	if (strlen(path_rel(p->name)) >= PATH_MAX)
		return -ENAMETOOLONG;
	stack = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	j = (struct job *)stack; /* the low end; the stack grows down towards it */
	j->p = p;
	strcpy(j->path, path_rel(p->name));
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone(run, stack + STACK_LEN, CLONE_VM | CLONE_FILES | CLONE_VFORK, j);
	r = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid > 0) {
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
		r = j->result;
	}
	munmap(stack, STACK_LEN);
	return r;
}
