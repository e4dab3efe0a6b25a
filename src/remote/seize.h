/* SPDX-License-Identifier: Apache-2.0 */
/* Freezing a tree with ptrace (PTRACE_SEIZE + PTRACE_INTERRUPT), and letting it go. */
#pragma once

#include "remote/target.h"

struct seize_opts {
	int timeout_ms;		   /* for the whole tree; 0 = none */
	const char *freeze_cgroup; /* NULL, or the directory of a v1 or v2 freezer cgroup */
};

/* The seized tree, depth-first pre-order: parents before children, root first. Zombies included. */
struct target_tree {
	struct target **targets;
	size_t n;
	char *refreeze; /* only for remote/: the cgroup that was found frozen */
};

/*
 * Seizes every thread of every process below (and with) root, until no new one turns up.
 * Options set: TRACESYSGOOD, SUSPEND_SECCOMP where allowed. Each thread's state and mask are
 * saved. A process blocked in vfork() is waited for until the timeout, then refused by name.
 * A process traced by somebody else is refused naming the tracer.
 * On failure everything is released again.
 */
MUST_USE int tree_seize(pid_t root, const struct seize_opts *opts, struct target_tree *ret,
			struct err *err);

/* What becomes of the tree: */
enum tree_fate {
	TREE_RUN,  /* as it was before: running ones run, stopped ones stay stopped */
	TREE_STOP, /* --leave-stopped: all get SIGSTOP */
	TREE_KILL, /* SIGKILL, and waited for until they are gone (children of ours are reaped) */
};

/* Leaves (see batch.h), detaches and frees. Goes on over failures; the first is returned. */
MUST_USE int tree_release(struct target_tree *tree, enum tree_fate fate, struct err *err);
