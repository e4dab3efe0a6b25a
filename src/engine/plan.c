/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/plan.h"

#include "base/auto.h"
#include "base/map.h"

#include <stdlib.h>

#define TORPOR (-1)

/* What planning needs to know of a node, beside the node itself. */
struct state {
	uint32_t born; /* the session that it is born into */
	uint32_t pgid; /* the group that it is in at this point of the plan */
	bool emitted, has_sid;
};

struct planner {
	struct plan *p;
	const struct plan_env *env;
	VEC(struct state) states;
	struct map by_vpid;
	VEC(int) orphans; /* tasks whose session is far from their parent, planned last */
};

static bool is_leader(const struct plan_node *n)
{
	return n->task.sid == n->task.vpid;
}

static struct plan_op *add_op(struct planner *pl, enum plan_op_kind kind, int node)
{
	struct plan_op *op = vec_push(&pl->p->ops);

	*op = (struct plan_op){.kind = kind, .node = node};
	return op;
}

static int find_task(const struct planner *pl, uint32_t vpid)
{
	size_t i = map_get(&pl->by_vpid, vpid);

	return i == MAP_NONE ? -1 : (int)i;
}

static int add_node(struct planner *pl, const struct plan_task *t, int parent)
{
	*vec_push(&pl->p->nodes) =
		(struct plan_node){.task = *t, .parent = parent, .creator = parent};
	*vec_push(&pl->states) = (struct state){0};
	map_put(&pl->by_vpid, t->vpid, pl->p->nodes.len - 1);
	return (int)pl->p->nodes.len - 1;
}

/* A helper has no memory of its own: it keeps what it inherits until it exits. */
static int add_helper(struct planner *pl, uint32_t vpid, int parent, uint32_t sid)
{
	const struct plan_task t = {
		.vpid = vpid, .sid = sid, .pgid = sid, .ppid = pl->p->nodes.data[parent].task.vpid};
	int h = add_node(pl, &t, parent);

	pl->p->nodes.data[h].helper = true;
	return h;
}

/* ---------------------------------------------------------------- births */

/*
 * The session that a task must be born into: its own if it doesn't lead one. A leader may be born
 * anywhere, unless a child of its is in an older session: then it is the one that they share.
 * 0: any.
 */
static uint32_t wanted_birth(const struct planner *pl, int node)
{
	const struct plan *p = pl->p;
	const struct plan_node *n = &p->nodes.data[node];

	if (!is_leader(n))
		return n->task.sid;
	for (size_t c = (size_t)node + 1; c < p->ntasks; c++) {
		uint32_t want;

		if (p->nodes.data[c].parent != node)
			continue;
		want = wanted_birth(pl, (int)c);
		if (want && want != n->task.sid)
			return want;
	}
	return 0;
}

static void emit_clone(struct planner *pl, int node, int creator, bool clone_parent)
{
	struct plan_node *n = &pl->p->nodes.data[node];
	struct state *s = &pl->states.data[node];
	struct plan_op *op = add_op(pl, PLAN_CLONE, node);

	n->creator = creator;
	op->clone_parent = clone_parent;
	s->emitted = true;
	if (creator == TORPOR) {
		s->born = pl->env->sid;
		s->pgid = pl->env->pgid;
	} else {
		const struct plan_node *by = &pl->p->nodes.data[creator];
		const struct state *bs = &pl->states.data[creator];

		s->born = bs->has_sid ? by->task.sid : bs->born;
		s->pgid = bs->pgid;
		op->clone_files = n->task.files_id && n->task.files_id == by->task.files_id;
	}
	s->has_sid = s->born == n->task.sid;
	if (!n->helper)
		add_op(pl, PLAN_MEMORY, node);
}

static void emit_setsid(struct planner *pl, int node)
{
	struct state *s = &pl->states.data[node];

	add_op(pl, PLAN_SETSID, node);
	s->has_sid = true;
	s->pgid = pl->p->nodes.data[node].task.vpid;
}

static void emit_children(struct planner *pl, int node);

static void emit_subtree(struct planner *pl, int node, int creator, bool clone_parent)
{
	emit_clone(pl, node, creator, clone_parent);
	emit_children(pl, node);
}

/* Children that fit: those of an older session before setsid, the others after it. */
static void emit_children(struct planner *pl, int node)
{
	bool leads = is_leader(&pl->p->nodes.data[node]);

	for (int pass = leads && !pl->states.data[node].has_sid ? 0 : 1; pass < 2; pass++) {
		uint32_t sid;

		if (pass == 1 && leads && !pl->states.data[node].has_sid)
			emit_setsid(pl, node);
		sid = pass == 0 ? pl->states.data[node].born : pl->p->nodes.data[node].task.sid;
		for (size_t c = (size_t)node + 1; c < pl->p->ntasks; c++) {
			uint32_t want;

			if (pl->p->nodes.data[c].parent != node || pl->states.data[c].emitted)
				continue;
			want = wanted_birth(pl, (int)c);
			if (want == sid || (pass == 1 && !want))
				emit_subtree(pl, (int)c, node, false);
			else if (pass == 1)
				*vec_push(&pl->orphans) = (int)c;
		}
	}
}

/* --------------------------------------------------------------- orphans */

static bool reaps_orphans(const struct plan_node *n)
{
	return n->task.subreaper || n->task.vpid == 1;
}

/* Who becomes the parent when a child of `node` exits: the nearest reaper at or above node. */
static int reaper_of(const struct plan *p, int node)
{
	while (node >= 0 && !reaps_orphans(&p->nodes.data[node]))
		node = p->nodes.data[node].parent;
	return node;
}

/* Numbers for helpers with any pid: free in the plan; what else holds one shows at clone time. */
static uint32_t spare_pid(const struct plan *p)
{
	uint32_t pid = 300;

	for (size_t i = 0; i < p->nodes.len; i++)
		if (p->nodes.data[i].task.vpid >= pid)
			pid = p->nodes.data[i].task.vpid + 1;
	return pid;
}

static void emit_exit_of_helper(struct planner *pl, int helper)
{
	add_op(pl, PLAN_EXIT, helper);
	add_op(pl, PLAN_REAP, helper);
}

/*
 * A task whose session isn't its parent's. Its leader (or one of that session) bears it:
 *  - as its own sibling (CLONE_PARENT) if both have the same parent;
 *  - the leader is gone: a helper with its pid, a child of the task's parent, starts the session
 *    and bears the task as its sibling;
 *  - the leader is elsewhere: through a helper that exits, so that the task falls to the nearest
 *    subreaper, as it once did.
 */
static int emit_orphan(struct planner *pl, int node, struct err *err)
{
	const struct plan_task *t = &pl->p->nodes.data[node].task;
	uint32_t sid = wanted_birth(pl, node), vpid = t->vpid;
	int parent = pl->p->nodes.data[node].parent;
	int leader = find_task(pl, sid);

	if (leader < 0) {
		leader = add_helper(pl, sid, parent, sid);
		emit_clone(pl, leader, parent, false);
		emit_setsid(pl, leader);
	}
	if (!pl->states.data[leader].emitted || !is_leader(&pl->p->nodes.data[leader]))
		return err_input(err, "pid %u: session %u has no leader to start it", vpid, sid);
	if (pl->p->nodes.data[leader].parent == parent) {
		emit_subtree(pl, node, leader, true);
		return 0;
	}
	if (reaper_of(pl->p, leader) != parent)
		return err_input(err, "pid %u: session %u can't be reached from its parent %u",
				 vpid, sid, pl->p->nodes.data[node].task.ppid);
	add_op(pl, PLAN_SUBREAPER, parent);
	{
		int h = add_helper(pl, spare_pid(pl->p), leader, sid);

		emit_clone(pl, h, leader, false);
		emit_subtree(pl, node, h, false);
		emit_exit_of_helper(pl, h);
	}
	return 0;
}

/*
 * In rounds: an orphan may wait for a leader that is itself below another orphan. What makes no
 * progress can't be built.
 */
static int emit_orphans(struct planner *pl, struct err *err)
{
	while (pl->orphans.len) {
		VEC(int) round = {.data = pl->orphans.data, .len = pl->orphans.len};
		size_t waiting = 0, len = round.len;
		int ret = 0;

		pl->orphans.data = NULL;
		pl->orphans.len = pl->orphans.cap = 0;
		for (size_t i = 0; i < len && ret == 0; i++) {
			int leader = find_task(pl, wanted_birth(pl, round.data[i]));

			if (leader >= 0 && !pl->states.data[leader].emitted) {
				*vec_push(&pl->orphans) = round.data[i];
				waiting++;
			} else {
				ret = emit_orphan(pl, round.data[i], err);
			}
		}
		if (ret == 0 && waiting == len)
			ret = err_input(err, "pid %u: session %u is never started",
					pl->p->nodes.data[round.data[0]].task.vpid,
					wanted_birth(pl, round.data[0]));
		free(round.data);
		TRY(ret);
	}
	return 0;
}

/* ---------------------------------------------------------------- groups */

static void emit_setpgid(struct planner *pl, int node, uint32_t pgid)
{
	add_op(pl, PLAN_SETPGID, node)->arg = pgid;
	pl->states.data[node].pgid = pgid;
}

/* Groups whose leader is gone: a child of a member holds the number while the others join. */
static void emit_group_helpers(struct planner *pl)
{
	for (size_t i = 0; i < pl->p->ntasks; i++) {
		const struct plan_task *t = &pl->p->nodes.data[i].task;
		uint32_t pgid = t->pgid, sid = t->sid;
		int h;

		if (pl->states.data[i].pgid == pgid || pgid == pl->env->pgid ||
		    find_task(pl, pgid) >= 0)
			continue;
		h = add_helper(pl, pgid, (int)i, sid);
		pl->p->nodes.data[h].task.pgid = pgid;
		emit_clone(pl, h, (int)i, false);
	}
}

static int emit_groups(struct planner *pl, struct err *err)
{
	emit_group_helpers(pl);
	for (size_t i = 0; i < pl->p->nodes.len; i++) {
		const struct plan_task *t = &pl->p->nodes.data[i].task;

		if (t->pgid == t->vpid && pl->states.data[i].pgid != t->pgid)
			emit_setpgid(pl, (int)i, t->pgid);
	}
	for (size_t i = 0; i < pl->p->ntasks; i++) {
		const struct plan_task *t = &pl->p->nodes.data[i].task;
		int leader;

		if (pl->states.data[i].pgid == t->pgid)
			continue;
		leader = find_task(pl, t->pgid);
		if (is_leader(&pl->p->nodes.data[i]))
			return err_input(err, "pid %u leads session %u but is in process group %u",
					 t->vpid, t->sid, t->pgid);
		if (leader >= 0 && pl->p->nodes.data[leader].task.sid != t->sid)
			return err_input(err, "pid %u: process group %u is of another session",
					 t->vpid, t->pgid);
		emit_setpgid(pl, (int)i, t->pgid);
	}
	return 0;
}

/* Helpers first: a zombie may be the parent of one. */
static void emit_exits(struct planner *pl)
{
	size_t n = pl->p->ops.len;
	bool *gone = xcalloc(pl->p->nodes.len, sizeof(*gone));

	for (size_t i = 0; i < n; i++)
		if (pl->p->ops.data[i].kind == PLAN_EXIT)
			gone[pl->p->ops.data[i].node] = true;
	for (size_t i = pl->p->nodes.len; i-- > pl->p->ntasks;)
		if (!gone[i])
			emit_exit_of_helper(pl, (int)i);
	for (size_t i = 0; i < pl->p->ntasks; i++)
		if (pl->p->nodes.data[i].task.zombie)
			add_op(pl, PLAN_EXIT, (int)i);
	free(gone);
}

/* ------------------------------------------------------------------ plan */

static int add_tasks(struct planner *pl, const struct plan_task *tasks, size_t n, struct err *err)
{
	uint32_t old_sid = tasks[0].sid, old_pgid = tasks[0].pgid;
	bool adopt = pl->env->shell_job && tasks[0].sid != tasks[0].vpid;

	for (size_t i = 0; i < n; i++) {
		struct plan_task t = tasks[i];
		int parent = i ? find_task(pl, t.ppid) : TORPOR;

		if (i && parent < 0)
			return err_input(err, "pid %u: its parent %u isn't before it in the tree",
					 t.vpid, t.ppid);
		if (parent >= 0 && tasks[parent].zombie)
			return err_input(err, "pid %u: its parent %u is a zombie", t.vpid, t.ppid);
		if (find_task(pl, t.vpid) >= 0)
			return err_input(err, "pid %u is in the tree twice", t.vpid);
		if (adopt && t.sid == old_sid)
			t.sid = pl->env->sid;
		if (adopt && t.pgid == old_pgid && old_pgid != tasks[0].vpid)
			t.pgid = pl->env->pgid;
		add_node(pl, &t, parent);
	}
	pl->p->ntasks = n;
	return 0;
}

static int check_root(const struct planner *pl, struct err *err)
{
	const struct plan_task *t = &pl->p->nodes.data[0].task;

	if (t->sid == t->vpid || t->sid == pl->env->sid)
		return 0;
	return err_refuse(err, "pass --shell-job, so that it joins the session of torpor",
			  "pid %u: the root task doesn't lead its session %u", t->vpid, t->sid);
}

int plan_make(struct plan *p, const struct plan_task *tasks, size_t n, const struct plan_env *env,
	      struct err *err)
{
	struct planner pl = {.p = p, .env = env};
	int ret;

	*p = (struct plan){0};
	if (!n)
		return err_input(err, "the tree is empty");
	ret = add_tasks(&pl, tasks, n, err);
	if (ret == 0)
		ret = check_root(&pl, err);
	if (ret == 0) {
		emit_subtree(&pl, 0, TORPOR, false);
		ret = emit_orphans(&pl, err);
	}
	if (ret == 0)
		ret = emit_groups(&pl, err);
	if (ret == 0)
		emit_exits(&pl);
	vec_done(&pl.states);
	vec_done(&pl.orphans);
	map_done(&pl.by_vpid);
	if (ret < 0)
		plan_done(p);
	return ret;
}

void plan_done(struct plan *p)
{
	vec_done(&p->nodes);
	vec_done(&p->ops);
}

static const char *const op_names[] = {
	[PLAN_CLONE] = "clone",		[PLAN_MEMORY] = "memory",   [PLAN_SETSID] = "setsid",
	[PLAN_SUBREAPER] = "subreaper", [PLAN_SETPGID] = "setpgid", [PLAN_EXIT] = "exit",
	[PLAN_REAP] = "reap",
};

void plan_print(const struct plan *p, FILE *out)
{
	vec_foreach (op, &p->ops) {
		const struct plan_node *n = &p->nodes.data[op->node];

		fprintf(out, "%-10s %6u%s", op_names[op->kind], n->task.vpid,
			n->helper ? " (helper)" : "");
		if (op->kind == PLAN_CLONE && n->creator < 0)
			fprintf(out, " by torpor");
		else if (op->kind == PLAN_CLONE)
			fprintf(out, " by %u%s%s", p->nodes.data[n->creator].task.vpid,
				op->clone_parent ? ", as its sibling" : "",
				op->clone_files ? ", sharing its descriptors" : "");
		else if (op->kind == PLAN_SETPGID)
			fprintf(out, " to %u", op->arg);
		else if (op->kind == PLAN_EXIT && n->task.zombie)
			fprintf(out, " (zombie)");
		fputc('\n', out);
	}
}
