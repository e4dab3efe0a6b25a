/* SPDX-License-Identifier: Apache-2.0 */
/* CRIU's records of processes and threads: loaded, checked, and refused when they are damaged. */
#include "task/part.h"

#include "../lib/samples.h"
#include "image/schema/core.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

struct fixture {
	struct img_dir dir;
	struct arena *a;
	struct rtasks *ts;
};

static void fixture_open(struct fixture *f, const char *set)
{
	struct err err = ERR_INIT;

	*f = (struct fixture){.a = arena_new()};
	sample_copy(set, &f->dir);
	assert_ok(rtasks_load(&f->dir, f->a, &f->ts, &err));
}

static void fixture_close(struct fixture *f)
{
	sample_remove(&f->dir);
	arena_free(f->a);
}

static void test_zoo(void **state)
{
	static const uint32_t vtids[] = {18006, 18010};
	struct fixture f;
	struct err err = ERR_INIT;
	struct rtask *rt;
	struct rthread *r;

	fixture_open(&f, "zoo");
	assert_ok(rtask_load(f.ts, 18006, vtids, 2, &rt, &err));
	assert_int_equal(rt->state, RTASK_ALIVE);
	assert_string_equal(rt->comm, "zoo");
	assert_true(rt->child_subreaper);
	assert_int_equal(rt->priv->membarrier, 0x10);
	assert_int_equal(rt->priv->nptimers, 1);
	assert_int_equal(rt->priv->ptimers[0].signo, 36);
	assert_int_equal(rt->priv->itimers[ITIMER_REAL].it_interval.tv_sec, 2);
	assert_int_equal(rt->priv->rlimits[RLIMIT_CORE].cur, 100);
	assert_int_equal(rt->priv->rlimits[RLIMIT_CORE].max, 200);
	assert_int_equal(rt->priv->sigacts[SIGALRM].handler, 1);
	r = rt->threads[1];
	assert_string_equal(r->comm, "worker");
	assert_int_equal(r->pdeath_sig, SIGTERM);
	assert_int_equal(r->sched.nice, 5);
	assert_int_equal(r->sigmask, 68719478784);
	assert_int_equal(r->queue.n, 1);
	assert_int_equal(r->queue.info[0][0], 37);
	assert_int_equal(r->chain.n, 2);
	assert_false(r->chain.tsync);
	assert_true(r->creds->no_new_privs);
	assert_int_equal(r->rseq.len, 32);
	assert_ok(rtask_load(f.ts, 18011, NULL, 1, &rt, &err));
	assert_int_equal(rt->state, RTASK_STOPPED);
	assert_int_equal(rt->stop_signo, SIGSTOP);
	fixture_close(&f);
}

static void test_zombie(void **state)
{
	static const uint32_t vtids[] = {0};
	struct fixture f;
	struct err err = ERR_INIT;
	struct rtask *rt;

	fixture_open(&f, "multi");
	assert_ok(rtask_load(f.ts, 17945, vtids, 1, &rt, &err));
	assert_int_equal(rt->state, RTASK_DEAD);
	assert_int_equal(rt->exit_code, 768);
	assert_ok(rtask_check(rt, &err));
	fixture_close(&f);
}

/* What one damage to a record of the sample does. */
static void damaged(void (*damage)(CoreEntry *core), const char *word)
{
	struct fixture f;
	struct err err = ERR_INIT;
	struct rtask *rt;
	CoreEntry *core;

	fixture_open(&f, "multi");
	assert_ok(img_read_one(&f.dir, IMG_CORE, 17944, f.a, &core, &err));
	damage(core);
	assert_ok(img_write_one(&f.dir, IMG_CORE, 17944, &core->base, &err));
	assert_true(rtask_load(f.ts, 17944, NULL, 1, &rt, &err) < 0);
	if (!strstr(err.text, word) || !strstr(err.text, "core-17944.img"))
		fail_msg("\"%s\" doesn't name \"%s\" and the file", err.text, word);
	fixture_close(&f);
}

static void no_registers(CoreEntry *c)
{
	c->thread_info = NULL;
}
static void other_machine(CoreEntry *c)
{
	c->mtype = CORE_ENTRY__MARCH__AARCH64;
}
static void kernel_segment(CoreEntry *c)
{
	c->thread_info->gpregs->cs = 0x10;
}
static void few_handlers(CoreEntry *c)
{
	c->tc->n_sigactions = 61;
}
static void many_limits(CoreEntry *c)
{
	c->tc->rlimits->rlimits[0]->cur = 2;
	c->tc->rlimits->rlimits[0]->max = 1;
}
static void long_name(CoreEntry *c)
{
	c->tc->comm = (char *)"a name of more than fifteen bytes";
}
static void strange_state(CoreEntry *c)
{
	c->tc->task_state = 6;
}
static void strange_policy(CoreEntry *c)
{
	c->thread_core->sched_policy = 6;
}
static void lost_filter(CoreEntry *c)
{
	c->thread_core->has_seccomp_mode = 1;
	c->thread_core->seccomp_mode = SECCOMP_MODE__filter;
	c->thread_core->has_seccomp_filter = 1;
	c->thread_core->seccomp_filter = 77;
}
static void short_siginfo(CoreEntry *c)
{
	static SiginfoEntry e = SIGINFO_ENTRY__INIT;
	static SiginfoEntry *list[] = {&e};

	e.siginfo.data = (uint8_t *)"short";
	e.siginfo.len = 5;
	c->thread_core->signals_p->n_signals = 1;
	c->thread_core->signals_p->signals = list;
}
static void timer_thread(CoreEntry *c)
{
	static PosixTimerEntry e = POSIX_TIMER_ENTRY__INIT;
	static PosixTimerEntry *list[] = {&e};

	e.it_sigev_notify = SIGEV_THREAD_ID;
	e.si_signo = 10;
	e.has_notify_thread_id = 1;
	e.notify_thread_id = 1;
	c->tc->timers->n_posix = 1;
	c->tc->timers->posix = list;
}

static void test_damaged(void **state)
{
	damaged(no_registers, "registers");
	damaged(other_machine, "architecture");
	damaged(kernel_segment, "segments");
	damaged(few_handlers, "61 signal handlers");
	damaged(many_limits, "RLIMIT_CPU");
	damaged(long_name, "name of 33 bytes");
	damaged(strange_state, "state 6");
	damaged(strange_policy, "policy");
	damaged(lost_filter, "filter 77");
	damaged(short_siginfo, "siginfo");
	damaged(timer_thread, "notifies thread 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zoo),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
