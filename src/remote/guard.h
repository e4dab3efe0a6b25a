/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child that outlives us and finishes what must not be done by halves, should somebody kill us
 * in the middle: it learns of our end by that of a pipe, and of how far we got by a byte in it.
 */
#pragma once

#include "remote/seize.h"

enum guard_rule {
	GUARD_KILLS_IF_TOLD,	 /* the end of a dump: once begun, all of the tree must go */
	GUARD_KILLS_UNLESS_TOLD, /* the end of a restore: until it is decided, none may stay */
};

struct guard {
	pid_t child; /* -1: there is none, the log says why */
	int fd;
};

/* Never fails: without a guard things go well unless we are killed. */
void guard_start(struct guard *g, const struct target_tree *tree, enum guard_rule rule);
void guard_tell(struct guard *g);
/* The work is done: lets the guard act (on what is dead already), and reaps it. */
void guard_end(struct guard *g);

/* SIGSTOP to all before SIGKILL to all: what runs must not see others of its tree die. */
void tree_stop_and_kill(const struct target_tree *tree);
