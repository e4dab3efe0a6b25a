/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drill for task/ alone, without memory, files and the engine:
 *
 *	task_drill dump PID DIR		freeze the tree, write core-*.img and seccomp.img, let it go
 *	task_drill load DIR PID [TID...]	read and check what was written, print
 *						what is in the way
 */
#include "base/auto.h"
#include "remote/batch.h"
#include "remote/seize.h"
#include "task/task.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int dump_tree(const struct target_tree *tree, struct tasks *ts, struct err *err)
{
	for (size_t i = 0; i < tree->n; i++) {
		struct target *t = tree->targets[i];

		if (t->state != TARGET_ZOMBIE)
			TRY(remote_enter(target_leader(t), err));
		TRY(task_dump(ts, t, err));
	}
	return tasks_finish(ts, err);
}

static int drill_dump(pid_t pid, const struct img_dir *dir, struct arena *a, struct err *err)
{
	struct seize_opts opts = {.timeout_ms = 5000};
	struct err second = ERR_INIT;
	struct target_tree tree;
	double start = now_ms(), frozen, done;
	int r;

	TRY(tree_seize(pid, &opts, &tree, err));
	frozen = now_ms();
	r = dump_tree(&tree, tasks_new(dir, a), err);
	done = now_ms();
	if (tree_release(&tree, TREE_RUN, &second) < 0 && r >= 0)
		*err = second;
	printf("seize %.3f ms, record %.3f ms, release %.3f ms\n", frozen - start, done - frozen,
	       now_ms() - done);
	return r;
}

static int drill_load(const struct img_dir *dir, struct arena *a, char **ids, struct err *err)
{
	uint32_t vtids[64];
	struct rtasks *ts;
	struct rtask *rt;
	size_t n = 0;

	while (ids[n] && n < ARRAY_SIZE(vtids))
		vtids[n] = (uint32_t)atoi(ids[n]), n++;
	TRY(rtasks_load(dir, a, &ts, err));
	TRY(rtask_load(ts, vtids[0], vtids, n, &rt, err));
	printf("pid %u (%s), state %d, %zu threads\n", rt->vpid, rt->comm, (int)rt->state,
	       rt->nthreads);
	return rtask_check(rt, err);
}

int main(int argc, char **argv)
{
	bool dump = argc == 4 && strcmp(argv[1], "dump") == 0;
	struct err err = ERR_INIT;
	struct arena *a = arena_new();
	struct img_dir dir = {0};
	int r = -1;

	if (!dump && (argc < 4 || strcmp(argv[1], "load") != 0)) {
		fprintf(stderr, "usage: task_drill dump PID DIR | load DIR PID [TID...]\n");
		return 2;
	}
	dir.path = argv[dump ? 3 : 2];
	if (dump)
		mkdir(dir.path, 0755);
	dir.fd = dir.work_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir.fd >= 0)
		r = dump ? drill_dump(atoi(argv[2]), &dir, a, &err)
			 : drill_load(&dir, a, argv + 3, &err);
	if (r < 0)
		printf("%s%s%s\n", err.text, *err.hint ? "; " : "", err.hint);
	arena_free(a);
	return r < 0;
}
