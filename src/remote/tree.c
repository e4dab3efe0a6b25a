/* SPDX-License-Identifier: Apache-2.0 */
/* A seized tree as a whole: its order, and what becomes of it. Seizing is in seize.c. */
#include "remote/seize.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/log.h"
#include "kernel/sys.h"
#include "remote/batch.h"
#include "remote/freezer.h"
#include "remote/guard.h"
#include "remote/internal.h"
#include "remote/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Depth first, parents before children, siblings as the kernel lists them. */
void tree_order(struct target **targets, size_t n, struct target_tree *tree)
{
	size_t top = 0;
	struct target **stack = xcalloc(n, sizeof(*stack));
	bool *done = xcalloc(n, sizeof(*done));

	tree->targets = xcalloc(n, sizeof(*tree->targets));
	tree->n = 0;
	stack[top++] = targets[0];
	done[0] = true;
	while (top) {
		struct target *t = tree->targets[tree->n++] = stack[--top];

		for (size_t i = n; i-- > 1;) {
			if (done[i] || targets[i]->ppid != t->pid)
				continue;
			done[i] = true;
			stack[top++] = targets[i];
		}
	}
	/* A parent that died between two looks: its children belong to the root's side. */
	for (size_t i = 1; i < n; i++)
		if (!done[i])
			tree->targets[tree->n++] = targets[i];
	free(stack);
	free(done);
}

static void keep_first(struct err *first, const struct err *next)
{
	if (!first->code && next->code)
		*first = *next;
	else if (next->code)
		log_warn("%s", next->text);
}

static void target_detach(struct target *t, bool stop, struct err *err)
{
	struct err why = ERR_INIT;

	/* Queued while all its threads are held: none of them runs an instruction before it. */
	if (stop && !t->died && t->state == TARGET_ALIVE)
		(void)sys_pidfd_send_signal(t->pidfd, SIGSTOP); /* fails if it is dead */
	for (size_t i = 0; i < t->nthreads && !t->died; i++) {
		if (!t->threads[i]->seized ||
		    thread_resume(t->threads[i], RESUME_DETACH, 0, &why) >= 0)
			continue;
		if (why.kind == ERR_GONE)
			(void)target_reap(t, &why); /* its parent gets its exit status */
		keep_first(err, &why);
		why = ERR_INIT;
	}
}

/*
 * All of the tree or nothing, also if somebody kills us in the middle. The tasks are held by ptrace
 * meanwhile; should we end, the pending SIGSTOP holds them before they run an instruction.
 */
static void kill_tree(const struct target_tree *tree)
{
	struct guard guard;

	guard_start(&guard, tree, GUARD_KILLS_IF_TOLD);
	guard_tell(&guard);
	tree_stop_and_kill(tree);
	guard_end(&guard);
}

int tree_release(struct target_tree *tree, enum tree_fate fate, struct err *err)
{
	struct err first = ERR_INIT, why = ERR_INIT;

	if (fate == TREE_KILL)
		kill_tree(tree);
	for (size_t i = 0; i < tree->n && fate != TREE_KILL; i++) {
		if (remote_leave_all(tree->targets[i], &why) < 0) {
			keep_first(&first, &why);
			why = ERR_INIT;
		}
	}
	/* Tasks in ptrace-stops freeze before they run anything. */
	if (fate != TREE_KILL && tree->refreeze && freezer_request(tree->refreeze, &why) < 0)
		keep_first(&first, &why);
	for (size_t i = 0; i < tree->n && fate != TREE_KILL; i++)
		target_detach(tree->targets[i], fate == TREE_STOP, &first);
	for (size_t i = 0; i < tree->n; i++) {
		struct err gone = ERR_INIT;

		if (fate == TREE_KILL && tree->targets[i]->nthreads && !tree->targets[i]->died)
			(void)target_reap(tree->targets[i], &gone); /* that was the purpose */
		target_free(tree->targets[i]);
	}
	free(tree->targets);
	free(tree->refreeze);
	*tree = (struct target_tree){0};
	if (first.code)
		*err = first;
	return first.code;
}
