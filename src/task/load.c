/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of processes and threads, read and validated. What comes out of here holds no
 * protobuf structs, and every number in it is one that the kernel could have had.
 */
#include "task/part.h"

#include "base/io.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"
#include "task/arch/core.h"
#include "task/creds.h"
#include "task/seccomp.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

static uint64_t number_in(const char *path, uint64_t otherwise)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t v;

	if (io_read_file(-1, path, &text, NULL) < 0)
		return otherwise;
	p = text;
	return scan_u64(&p, 10, &v) ? v : otherwise;
}

/* What a copy of torpor is, before anything of a record is restored into it. */
static int machine_read(struct machine *m, struct arena *a, struct err *err)
{
	auto_free char *status = NULL, *oom = NULL;
	const char *p;
	int64_t adj = 0;
	int r = io_read_file(-1, "/proc/self/status", &status, NULL);

	if (r < 0)
		return err_sys(err, r, "read /proc/self/status");
	TRY(creds_parse(status, a, &m->creds, err));
	m->creds.secbits = (uint32_t)prctl(PR_GET_SECUREBITS);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit lim;

		if (getrlimit((__rlimit_resource_t)i, &lim))
			return err_sys(err, -errno, "getrlimit %d", i);
		m->rlim[i] = (struct rlim){lim.rlim_cur, lim.rlim_max};
	}
	r = io_read_file(-1, "/proc/self/oom_score_adj", &oom, NULL);
	if (r < 0)
		return err_sys(err, r, "read /proc/self/oom_score_adj");
	p = oom;
	(void)scan_i64(&p, 10, &adj);
	m->oom_score_adj = (int)adj;
	m->nice = getpriority(PRIO_PROCESS, 0);
	m->loginuid = (uint32_t)number_in("/proc/self/loginuid", UINT32_MAX);
	m->nr_open = number_in("/proc/sys/fs/nr_open", UINT64_MAX);
	m->last_cap = (unsigned int)number_in("/proc/sys/kernel/cap_last_cap", 40);
	return 0;
}

int rtasks_load(const struct img_dir *dir, struct arena *a, struct rtasks **ret, struct err *err)
{
	struct rtasks *ts = arena_new_of(a, struct rtasks);

	ts->dir = dir;
	ts->a = a;
	ts->cpu = arch_cpu_new(a);
	TRY(machine_read(&ts->m, a, err));
	TRY(seccomp_read(ts, err));
	*ret = ts;
	return 0;
}

static int core_err(uint32_t vtid, struct err *err)
{
	char name[IMG_NAME_MAX];

	img_name(IMG_CORE, vtid, name);
	if (strstr(err->text, name))
		return err->code;
	return err_in(err, "%s", name);
}

static bool stops_a_process(uint32_t signo)
{
	return signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

static int leader_load(struct rtask *rt, const TaskCoreEntry *tc, struct err *err)
{
	if (!tc)
		return err_input(err, "no process in the record");
	if (strlen(tc->comm) >= sizeof(rt->comm))
		return err_input(err, "name of %zu bytes, a process has up to 15",
				 strlen(tc->comm));
	str_copy(rt->comm, sizeof(rt->comm), tc->comm);
	rt->state = (enum rtask_state)tc->task_state;
	switch (tc->task_state) {
	case RTASK_ALIVE:
		return 0;
	case RTASK_DEAD:
		if (tc->exit_code > 0xffff)
			return err_input(err, "exit status %#x of a zombie", tc->exit_code);
		rt->exit_code = (int)tc->exit_code;
		return 0;
	case RTASK_STOPPED:
		if (tc->has_stop_signo && !stops_a_process(tc->stop_signo))
			return err_input(err, "stopped by signal %u", tc->stop_signo);
		rt->stop_signo = tc->has_stop_signo ? (int)tc->stop_signo : SIGSTOP;
		rt->stop_untold = tc->has_stop_untold && tc->stop_untold;
		return 0;
	default:
		return err_input(err, "state %u of a process", tc->task_state);
	}
}

static int thread_load(struct rthread *r, CoreEntry *core, struct err *err)
{
	if (!core->thread_core)
		return err_input(err, "no thread in the record");
	if (!r->leader)
		core->tc = NULL;
	for (size_t i = 0; task_parts[i]; i++)
		if (task_parts[i]->load && (r->leader || !task_parts[i]->leader_only))
			TRY(task_parts[i]->load(r, core, err));
	return 0;
}

static int record_load(struct rtask *rt, size_t i, uint32_t vtid, struct err *err)
{
	struct rtasks *ts = rt->priv->ts;
	struct rthread *r = rt->threads[i];
	CoreEntry *core;

	TRY(img_read_one(ts->dir, IMG_CORE, vtid, ts->a, &core, err));
	if (r->leader)
		TRY(leader_load(rt, core->tc, err));
	if (rt->state == RTASK_DEAD)
		return 0;
	return thread_load(r, core, err);
}

int rtask_load(struct rtasks *ts, uint32_t vpid, const uint32_t *vtids, size_t nthreads,
	       struct rtask **ret, struct err *err)
{
	struct rtask *rt = arena_new_of(ts->a, struct rtask);

	if (nthreads < 1)
		nthreads = 1;
	rt->vpid = vpid;
	rt->nthreads = nthreads;
	rt->priv = arena_new_of(ts->a, struct rtask_priv);
	rt->priv->ts = ts;
	rt->threads = arena_array_of(ts->a, struct rthread *, nthreads);
	/* All ids first: a timer of the leader may name another thread. */
	for (size_t i = 0; i < nthreads; i++) {
		struct rthread *r = rt->threads[i] = arena_new_of(ts->a, struct rthread);

		r->rt = rt;
		r->leader = i == 0;
		r->vtid = i == 0 ? vpid : vtids[i];
	}
	for (size_t i = 0; i < rt->nthreads; i++) {
		uint32_t vtid = rt->threads[i]->vtid;

		if (record_load(rt, i, vtid, err) < 0)
			return core_err(vtid, err);
		if (rt->state == RTASK_DEAD)
			rt->nthreads = 0; /* a zombie has none */
	}
	*ret = rt;
	return 0;
}

int rtask_check(const struct rtask *rt, struct err *err)
{
	const struct machine *m = &rt->priv->ts->m;

	for (size_t i = 0; i < rt->nthreads; i++) {
		const struct rthread *r = rt->threads[i];

		for (size_t p = 0; task_parts[p]; p++)
			if (task_parts[p]->able && (r->leader || !task_parts[p]->leader_only) &&
			    task_parts[p]->able(r, m, err) < 0)
				return err_in(err, "pid %u (%s)", rt->vpid, rt->comm);
	}
	return 0;
}
