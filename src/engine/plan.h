/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a restore: who clones whom, when sessions and process groups are made, who leaves
 * again. A pure function of the process tree in the images; it can be printed and tested without
 * any process.
 *
 * Why it isn't just a walk over the tree: a session is inherited at birth and can only be left by
 * starting a new one, so a task has to be born from somebody who is in its session at that very
 * moment; and sessions and groups outlive their leaders, whose pid has to be taken for a while.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A task as pstree.img and its core say. */
struct plan_task {
	uint32_t vpid, ppid, pgid, sid;
	uint32_t files_id; /* 0: none (zombies) */
	bool zombie;
	bool subreaper;
};

struct plan_node {
	struct plan_task task;
	int parent;  /* index of the parent node; -1: torpor's child, or unknown yet (orphan) */
	int creator; /* index of the node that clones it; -1: torpor */
	bool helper; /* exists only to hold a pid for a session or group, or to leave an orphan */
	bool zombie_done;
};

enum plan_op_kind {
	PLAN_CLONE,	/* creator clones node */
	PLAN_MEMORY,	/* node's address space becomes what its image says */
	PLAN_SETSID,	/* node starts its session */
	PLAN_SUBREAPER, /* node becomes a child subreaper, before an orphan needs one */
	PLAN_SETPGID,	/* node joins or (arg == its pid) starts process group arg */
	PLAN_EXIT,	/* helper or zombie exits */
	PLAN_REAP,	/* the parent of a helper that exited reaps it */
};

struct plan_op {
	enum plan_op_kind kind;
	int node;
	uint32_t arg;
	bool clone_parent; /* PLAN_CLONE: CLONE_PARENT */
	bool clone_files;  /* PLAN_CLONE: CLONE_FILES */
};

struct plan {
	VEC(struct plan_node) nodes; /* tasks first, in image order; then helpers */
	VEC(struct plan_op) ops;
	size_t ntasks;
};

struct plan_env {
	uint32_t sid, pgid; /* of torpor: what the root task is born with */
	bool shell_job;	    /* the root's old session and group become torpor's, everywhere */
};

/* tasks[0] is the root; parents come before their children. */
MUST_USE int plan_make(struct plan *p, const struct plan_task *tasks, size_t n,
		       const struct plan_env *env, struct err *err);
void plan_print(const struct plan *p, FILE *out);
void plan_done(struct plan *p);
