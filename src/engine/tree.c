/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "kernel/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

/* /proc/PID/stat behind the name, which may hold anything: from the state (field 3) on. */
static int read_stat_tail(int proc, char **ret_text, const char **ret_tail)
{
	TRY(io_read_file(proc, "stat", ret_text, NULL));
	*ret_tail = strrchr(*ret_text, ')');
	if (!*ret_tail) {
		free(TAKE_PTR(*ret_text));
		return -EINVAL;
	}
	(*ret_tail)++;
	return 0;
}

int tree_session(const struct target *t, uint32_t *ret_sid, uint32_t *ret_pgid, struct err *err)
{
	auto_free char *text = NULL;
	uint64_t ppid, pgid, sid;
	const char *p;
	char state[4];
	int r = read_stat_tail(t->proc, &text, &p);

	if (r < 0)
		return err_sys(err, r, "pid %d (%s): stat", t->pid, t->comm);
	if (!scan_word(&p, state, sizeof(state)) || !scan_u64(&p, 10, &ppid) ||
	    !scan_u64(&p, 10, &pgid) || !scan_u64(&p, 10, &sid))
		return err_sys(err, -EINVAL, "pid %d (%s): stat", t->pid, t->comm);
	*ret_sid = (uint32_t)sid;
	*ret_pgid = (uint32_t)pgid;
	return 0;
}

static pid_t parent_of(pid_t pid)
{
	auto_free char *text = NULL;
	uint64_t ppid = 0;
	char path[64], state[4];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (io_read_file(AT_FDCWD, path, &text, NULL) < 0)
		return 0;
	p = strrchr(text, ')');
	if (!p || (p++, !scan_word(&p, state, sizeof(state))) || !scan_u64(&p, 10, &ppid))
		return 0;
	return (pid_t)ppid;
}

int tree_check_pid(pid_t root, struct err *err)
{
	for (pid_t p = getpid(); p > 0; p = parent_of(p))
		if (p == root)
			return err_refuse(err, "run torpor from outside of the tree",
					  "pid %d is torpor itself or an ancestor of it", root);
	if (kill(root, 0) < 0 && errno == ESRCH)
		return err_gone(err, "there is no process with pid %d", root);
	return 0;
}

struct target *tree_parent(const struct target_tree *tree, const struct target *t)
{
	for (size_t i = 0; i < tree->n; i++)
		if (t != tree->targets[0] && tree->targets[i]->pid == t->ppid)
			return tree->targets[i];
	return NULL;
}

static bool in_tree(const struct target_tree *tree, uint32_t vpid)
{
	for (size_t i = 0; i < tree->n; i++)
		if ((uint32_t)tree->targets[i]->vpid == vpid)
			return true;
	return false;
}

static int check_session(const struct target_tree *tree, const struct target *t, uint32_t root_sid,
			 bool shell_job, struct err *err)
{
	uint32_t sid, pgid;

	TRY(tree_session(t, &sid, &pgid, err));
	if (!sid)
		return err_refuse(err, "start the tree in a session of its own (setsid)",
				  "pid %d (%s): its session was started outside of its pid "
				  "namespace",
				  t->pid, t->comm);
	if (in_tree(tree, sid) || (shell_job && sid == root_sid))
		return 0;
	if (kill((pid_t)sid, 0) < 0 && errno == ESRCH)
		return 0; /* its leader is gone: the number is free to be taken for a while */
	return err_refuse(err,
			  sid == root_sid
				  ? "pass --shell-job, here and at the restore, or start the "
				    "program with setsid"
				  : "dump the whole tree of that leader",
			  "pid %d (%s) is in session %u, whose leader isn't part of the dump",
			  t->pid, t->comm, sid);
}

int tree_check_sessions(const struct target_tree *tree, bool shell_job, struct err *err)
{
	const struct target *root = tree->targets[0];
	uint32_t root_sid, root_pgid;

	TRY(tree_session(root, &root_sid, &root_pgid, err));
	if ((pid_t)root_sid != root->vpid && !shell_job)
		return err_refuse(err,
				  "pass --shell-job, here and at the restore, or start the "
				  "program with setsid",
				  "pid %d (%s): it doesn't lead its session %u", root->pid,
				  root->comm, root_sid);
	for (size_t i = 1; i < tree->n; i++)
		TRY(check_session(tree, tree->targets[i], root_sid, shell_job, err));
	return 0;
}

/* ------------------------------------------------------- of a running tree */

static bool is_listed(const struct target_tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->targets[i]->pid == pid)
			return true;
	return false;
}

struct lister {
	struct target_tree *tree;
	tree_refused *refused;
	void *ctx;
};

static int list_from(const struct lister *l, pid_t pid, struct err *err);

/* The children that all its threads have made. Whoever goes away meanwhile has none. */
static int list_children(const struct lister *l, pid_t pid, struct err *err)
{
	auto_ids struct proc_ids tids = {0}, children = {0};
	auto_close int proc = proc_open(pid);

	if (proc < 0 || proc_list_dir(proc, "task", &tids) < 0)
		return 0;
	vec_foreach (tid, &tids) {
		if (proc_list_children(proc, *tid, &children) < 0)
			continue;
	}
	vec_foreach (child, &children)
		TRY(list_from(l, *child, err));
	return 0;
}

static int list_from(const struct lister *l, pid_t pid, struct err *err)
{
	struct target_tree *tree = l->tree;
	struct err why = ERR_INIT;
	struct target *t;

	if (is_listed(tree, pid)) /* its parent has just died */
		return 0;
	if (target_open(pid, &t, &why) == 0) {
		tree->targets = xrealloc(tree->targets, tree->n + 1, sizeof(t));
		tree->targets[tree->n++] = t;
	} else if (!tree->n || (why.kind != ERR_GONE && why.kind != ERR_REFUSED)) {
		*err = why;
		return why.code;
	} else if (why.kind == ERR_REFUSED && l->refused(l->ctx, &why) < 0) {
		*err = why;
		return why.code;
	}
	return list_children(l, pid, err);
}

int tree_list(pid_t root, tree_refused *refused, void *ctx, struct target_tree *ret,
	      struct err *err)
{
	const struct lister l = {ret, refused, ctx};

	*ret = (struct target_tree){0};
	return list_from(&l, root, err);
}

void tree_list_free(struct target_tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		target_free(tree->targets[i]);
	free(tree->targets);
	*tree = (struct target_tree){0};
}
