/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a restore, checked by playing it: a model of what the kernel does with sessions,
 * groups and parents runs the operations, and what comes out has to be the tree that was asked
 * for.
 */
#include "engine/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TORPOR_SID  50
#define TORPOR_PGID 51

struct model {
	uint32_t ppid, sid, pgid;
	bool exists, gone, reaper;
};

static const struct plan_env env = {.sid = TORPOR_SID, .pgid = TORPOR_PGID};
static const struct plan_env job = {.sid = TORPOR_SID, .pgid = TORPOR_PGID, .shell_job = true};

static int find(const struct plan *p, uint32_t vpid)
{
	for (size_t i = 0; i < p->nodes.len; i++)
		if (p->nodes.data[i].task.vpid == vpid)
			return (int)i;
	return -1;
}

static bool group_exists(const struct plan *p, const struct model *m, uint32_t pgid, uint32_t sid)
{
	for (size_t i = 0; i < p->nodes.len; i++)
		if (m[i].exists && !m[i].gone && m[i].pgid == pgid && m[i].sid == sid)
			return true;
	return false;
}

static void play_clone(const struct plan *p, struct model *m, const struct plan_op *op)
{
	int by = p->nodes.data[op->node].creator;
	struct model *n = &m[op->node];

	assert_false(n->exists);
	n->exists = true;
	if (by < 0) {
		*n = (struct model){.sid = TORPOR_SID, .pgid = TORPOR_PGID, .exists = true};
		return;
	}
	assert_true(m[by].exists && !m[by].gone);
	n->sid = m[by].sid;
	n->pgid = m[by].pgid;
	n->ppid = op->clone_parent ? m[by].ppid : p->nodes.data[by].task.vpid;
}

/* Children of who exits go to the nearest reaper above. */
static void play_exit(const struct plan *p, struct model *m, int node)
{
	int up = node;

	m[node].gone = true;
	do
		up = find(p, m[up].ppid);
	while (up >= 0 && !m[up].reaper);
	for (size_t i = 0; i < p->nodes.len; i++)
		if (m[i].exists && m[i].ppid == p->nodes.data[node].task.vpid)
			m[i].ppid = up < 0 ? 1 : p->nodes.data[up].task.vpid;
}

static void play_op(const struct plan *p, struct model *m, const struct plan_op *op)
{
	uint32_t vpid = p->nodes.data[op->node].task.vpid;
	struct model *n = &m[op->node];

	if (op->kind != PLAN_CLONE)
		assert_true(n->exists);
	switch (op->kind) {
	case PLAN_CLONE:
		play_clone(p, m, op);
		break;
	case PLAN_MEMORY:
		assert_false(n->gone);
		break;
	case PLAN_SETSID:
		assert_int_not_equal(n->pgid, vpid);
		n->sid = n->pgid = vpid;
		break;
	case PLAN_SUBREAPER:
		n->reaper = true;
		break;
	case PLAN_SETPGID:
		assert_int_not_equal(n->sid, vpid);
		if (op->arg != vpid)
			assert_true(group_exists(p, m, op->arg, n->sid));
		n->pgid = op->arg;
		break;
	case PLAN_EXIT:
		play_exit(p, m, op->node);
		break;
	case PLAN_REAP:
		assert_true(n->gone);
		break;
	}
}

/* Runs the plan; then each task has to be what the image said. */
static void play(const struct plan_task *tasks, size_t n, const struct plan_env *e)
{
	struct err err = ERR_INIT;
	struct model m[64] = {0};
	struct plan p;

	assert_int_equal(plan_make(&p, tasks, n, e, &err), 0);
	assert_true(p.nodes.len <= 64);
	vec_foreach (op, &p.ops)
		play_op(&p, m, op);
	for (size_t i = 0; i < n; i++) {
		const struct plan_task *want = &p.nodes.data[i].task;

		assert_true(m[i].exists);
		assert_int_equal(m[i].sid, want->sid);
		assert_int_equal(m[i].pgid, want->pgid);
		assert_int_equal(m[i].gone, want->zombie);
		if (i)
			assert_int_equal(m[i].ppid, tasks[i].ppid);
	}
	for (size_t i = n; i < p.nodes.len; i++)
		assert_true(m[i].gone);
	plan_done(&p);
}

static void one_leader(void **state)
{
	const struct plan_task t[] = {{.vpid = 100, .sid = 100, .pgid = 100}};

	play(t, 1, &env);
}

static void children_and_groups(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 100, .pgid = 101},
		{.vpid = 102, .ppid = 101, .sid = 100, .pgid = 101},
		{.vpid = 103, .ppid = 100, .sid = 100, .pgid = 101},
	};

	play(t, 4, &env);
}

static void child_with_its_own_session(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 101, .pgid = 101},
		{.vpid = 102, .ppid = 101, .sid = 101, .pgid = 101},
	};

	play(t, 3, &env);
}

/* 101 was forked, forked 102, and only then called setsid. */
static void child_born_before_setsid(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 101, .pgid = 101},
		{.vpid = 102, .ppid = 101, .sid = 100, .pgid = 100},
		{.vpid = 103, .ppid = 101, .sid = 101, .pgid = 101},
	};

	play(t, 4, &env);
}

static void session_of_a_dead_leader(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100, .subreaper = true},
		{.vpid = 105, .ppid = 100, .sid = 90, .pgid = 90},
		{.vpid = 106, .ppid = 105, .sid = 90, .pgid = 106},
		{.vpid = 107, .ppid = 100, .sid = 90, .pgid = 90},
	};

	play(t, 4, &env);
}

static void group_of_a_dead_leader(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 100, .pgid = 95},
		{.vpid = 102, .ppid = 100, .sid = 100, .pgid = 95},
	};

	play(t, 3, &env);
}

/* 103's parent (a child of 102) is gone; it fell to the subreaper 100 but is in 102's session. */
static void orphan_in_a_living_session(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100, .subreaper = true},
		{.vpid = 101, .ppid = 100, .sid = 100, .pgid = 100},
		{.vpid = 102, .ppid = 101, .sid = 102, .pgid = 102},
		{.vpid = 103, .ppid = 100, .sid = 102, .pgid = 102},
	};

	play(t, 4, &env);
}

static void orphan_beside_its_leader(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100, .subreaper = true},
		{.vpid = 103, .ppid = 100, .sid = 104, .pgid = 104},
		{.vpid = 104, .ppid = 100, .sid = 104, .pgid = 104},
	};

	play(t, 3, &env);
}

static void zombies(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 100, .pgid = 100, .zombie = true},
		{.vpid = 102, .ppid = 100, .sid = 100, .pgid = 102, .zombie = true},
		{.vpid = 103, .ppid = 100, .sid = 100, .pgid = 102},
	};

	play(t, 4, &env);
}

static void shell_job_joins_our_session(void **state)
{
	const struct plan_task t[] = {
		{.vpid = 100, .sid = 40, .pgid = 41},
		{.vpid = 101, .ppid = 100, .sid = 40, .pgid = 41},
		{.vpid = 102, .ppid = 100, .sid = 40, .pgid = 102},
		{.vpid = 103, .ppid = 102, .sid = 103, .pgid = 103},
	};
	struct err err = ERR_INIT;
	struct plan p;

	play(t, 4, &job);
	assert_true(plan_make(&p, t, 4, &env, &err) < 0);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_non_null(strstr(err.hint, "--shell-job"));
}

static void refuses(const struct plan_task *t, size_t n)
{
	struct err err = ERR_INIT;
	struct plan p;

	assert_true(plan_make(&p, t, n, &env, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
}

static void impossible_trees(void **state)
{
	const struct plan_task unknown_parent[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 99, .sid = 100, .pgid = 100},
	};
	const struct plan_task twice[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 100, .ppid = 100, .sid = 100, .pgid = 100},
	};
	const struct plan_task child_of_zombie[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 100, .pgid = 100, .zombie = true},
		{.vpid = 102, .ppid = 101, .sid = 100, .pgid = 100},
	};
	const struct plan_task foreign_group[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 101, .pgid = 101},
		{.vpid = 102, .ppid = 100, .sid = 100, .pgid = 101},
	};
	/* 103 is in the session of a leader that it can't have come from. */
	const struct plan_task unreachable[] = {
		{.vpid = 100, .sid = 100, .pgid = 100},
		{.vpid = 101, .ppid = 100, .sid = 100, .pgid = 100},
		{.vpid = 102, .ppid = 101, .sid = 102, .pgid = 102},
		{.vpid = 103, .ppid = 100, .sid = 102, .pgid = 102},
	};

	refuses(unknown_parent, 2);
	refuses(twice, 2);
	refuses(child_of_zombie, 3);
	refuses(foreign_group, 3);
	refuses(unreachable, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_leader),
		cmocka_unit_test(children_and_groups),
		cmocka_unit_test(child_with_its_own_session),
		cmocka_unit_test(child_born_before_setsid),
		cmocka_unit_test(session_of_a_dead_leader),
		cmocka_unit_test(group_of_a_dead_leader),
		cmocka_unit_test(orphan_in_a_living_session),
		cmocka_unit_test(orphan_beside_its_leader),
		cmocka_unit_test(zombies),
		cmocka_unit_test(shell_job_joins_our_session),
		cmocka_unit_test(impossible_trees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
