/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cores: the state of each thread, and the process-wide state in that of the leader. Arrays stand
 * for something by their positions, so their lengths must be right; what is in them is checked
 * where it is used.
 */
#include "image/check_priv.h"

#include "base/auto.h"
#include "image/schema/cgroup.pb-c.h"
#include "image/schema/seccomp.pb-c.h"

#include <string.h>

#define NSIGACTIONS 62 /* signals 1 to 64 without SIGKILL and SIGSTOP */
#define NSIGNALS    64
#define NRLIMITS    16
#define SIGINFO_LEN 128
#define COMM_MAX    15
#define NGROUPS_MAX 65536
/* BPF_MAXINSNS of struct sock_filter */
#define FILTER_INSN_LEN 8
#define FILTER_MAX_LEN	(4096 * FILTER_INSN_LEN)

/* task_state; disk values */
enum { STATE_ALIVE = 1, STATE_DEAD = 2, STATE_STOPPED = 3 };

/* --------------------------------------------------- seccomp and cgroup */

static int check_filter(const SeccompEntry *e, size_t i, struct err *err)
{
	const SeccompFilter *f = e->seccomp_filters[i];

	if (!f->filter.len || f->filter.len % FILTER_INSN_LEN || f->filter.len > FILTER_MAX_LEN)
		return err_input(err, "seccomp.img: filter %zu: filter: %zu bytes", i,
				 f->filter.len);
	/* Chains run towards lower places, so that each one ends. */
	if (f->has_prev && f->prev >= i)
		return err_input(err, "seccomp.img: filter %zu: prev: %u", i, f->prev);
	return 0;
}

static int check_seccomp(struct check *c, struct err *err)
{
	SeccompEntry *e;
	int got = img_read_opt(c->dir, IMG_SECCOMP, 0, check_scratch(c), &e, err);

	if (got <= 0)
		return got;
	c->nfilters = e->n_seccomp_filters;
	for (size_t i = 0; i < e->n_seccomp_filters; i++)
		NOTE(c, check_filter(e, i, err), err);
	return 0;
}

static int check_cgroup(struct check *c, struct err *err)
{
	CgroupEntry *e;
	int got = img_read_opt(c->dir, IMG_CGROUP, 0, check_scratch(c), &e, err);

	if (got <= 0)
		return got;
	for (size_t i = 0; i < e->n_sets; i++)
		if (!e->sets[i]->id || !idmap_add(&c->cg_sets, e->sets[i]->id, 0))
			NOTE(c, err_input(err, "cgroup.img: set %zu: id: %u", i, e->sets[i]->id),
			     err);
	return 0;
}

int check_shared_core(struct check *c, struct err *err)
{
	NOTE(c, check_seccomp(c, err), err);
	return check_cgroup(c, err);
}

/* --------------------------------------------------------- what is in a core */

/* One core: the names for messages. */
struct core {
	struct check *c;
	char image[IMG_NAME_MAX];
	const CoreEntry *e;
	struct err *err;
};

static int bad(const struct core *k, const char *field, uint64_t value)
{
	return err_input(k->err, "%s: %s: %" PRIu64, k->image, field, value);
}

static int bad_count(const struct core *k, const char *field, size_t n, size_t want)
{
	return err_input(k->err, "%s: %s: %zu values instead of %zu", k->image, field, n, want);
}

static int missing(const struct core *k, const char *field)
{
	return err_input(k->err, "%s: %s is missing", k->image, field);
}

static int check_count(const struct core *k, const char *field, size_t n, size_t want)
{
	return n == want ? 0 : bad_count(k, field, n, want);
}

/* All of them or none: a component that the dumping CPU didn't have. */
static int check_array(const struct core *k, const char *field, size_t n, size_t want)
{
	return !n || n == want ? 0 : bad_count(k, field, n, want);
}

static int check_xsave(const struct core *k, const UserX86XsaveEntry *x)
{
	if (!x)
		return 0;
	NOTE(k->c, check_array(k, "xsave.ymmh_space", x->n_ymmh_space, 64), k->err);
	NOTE(k->c, check_array(k, "xsave.bndreg_state", x->n_bndreg_state, 8), k->err);
	NOTE(k->c, check_array(k, "xsave.bndcsr_state", x->n_bndcsr_state, 8), k->err);
	NOTE(k->c, check_array(k, "xsave.opmask_reg", x->n_opmask_reg, 8), k->err);
	NOTE(k->c, check_array(k, "xsave.zmm_upper", x->n_zmm_upper, 64), k->err);
	NOTE(k->c, check_array(k, "xsave.hi16_zmm", x->n_hi16_zmm, 128), k->err);
	return check_array(k, "xsave.pkru", x->n_pkru, 2);
}

static int check_registers(const struct core *k)
{
	const ThreadInfoX86 *x = k->e->thread_info;

	if (!x)
		return missing(k, "thread_info");
	NOTE(k->c, check_count(k, "fpregs.st_space", x->fpregs->n_st_space, 32), k->err);
	NOTE(k->c, check_count(k, "fpregs.xmm_space", x->fpregs->n_xmm_space, 64), k->err);
	NOTE(k->c, check_array(k, "tls", x->n_tls, 3), k->err);
	return check_xsave(k, x->fpregs->xsave);
}

static int check_signals(const struct core *k, const char *field, const SignalQueueEntry *q)
{
	for (size_t i = 0; q && i < q->n_signals; i++) {
		const ProtobufCBinaryData *s = &q->signals[i]->siginfo;
		uint32_t signo;

		if (s->len != SIGINFO_LEN)
			return err_input(k->err, "%s: %s: signal %zu has %zu bytes instead of %d",
					 k->image, field, i, s->len, SIGINFO_LEN);
		memcpy(&signo, s->data, sizeof(signo));
		if (!signo || signo > NSIGNALS)
			return bad(k, field, signo);
	}
	return 0;
}

static int check_creds(const struct core *k, const CredsEntry *e)
{
	if (!e)
		return 0;
	if (e->n_cap_inh != 2 || e->n_cap_prm != 2 || e->n_cap_eff != 2 || e->n_cap_bnd != 2)
		return err_input(k->err, "%s: creds: a capability set isn't 2 words", k->image);
	NOTE(k->c, check_array(k, "creds.cap_amb", e->n_cap_amb, 2), k->err);
	if (e->n_groups > NGROUPS_MAX)
		return bad(k, "creds.groups", e->n_groups);
	return 0;
}

static int check_cg_set(const struct core *k, uint32_t id)
{
	const InventoryEntry *inv = k->c->inventory;

	if (!id || !inv || (inv->has_root_cg_set && id == inv->root_cg_set))
		return 0;
	return idmap_find(&k->c->cg_sets, id) ? 0 : bad(k, "cg_set: not in cgroup.img", id);
}

static int check_thread_core(const struct core *k)
{
	const ThreadCoreEntry *e = k->e->thread_core;

	if (!e)
		return missing(k, "thread_core");
	if (e->comm && strlen(e->comm) > COMM_MAX)
		return bad(k, "thread_core.comm: length", strlen(e->comm));
	if (e->has_pdeath_sig && e->pdeath_sig > NSIGNALS)
		return bad(k, "thread_core.pdeath_sig", e->pdeath_sig);
	if (e->has_seccomp_mode && (unsigned int)e->seccomp_mode > SECCOMP_MODE__filter)
		return bad(k, "thread_core.seccomp_mode", (unsigned int)e->seccomp_mode);
	if (e->seccomp_mode == SECCOMP_MODE__filter &&
	    (!e->has_seccomp_filter || e->seccomp_filter >= k->c->nfilters))
		return bad(k, "thread_core.seccomp_filter: not in seccomp.img", e->seccomp_filter);
	NOTE(k->c, check_signals(k, "thread_core.signals_p", e->signals_p), k->err);
	NOTE(k->c, check_creds(k, e->creds), k->err);
	NOTE(k->c, check_thread_values(k->c, k->image, e, k->err), k->err);
	return check_cg_set(k, e->has_cg_set ? e->cg_set : 0);
}

/* ---------------------------------------------------------- a process's */

static int check_itimer(const struct core *k, const char *field, const ItimerEntry *t)
{
	if (t->iusec >= 1000000 || t->vusec >= 1000000)
		return bad(k, field, t->iusec >= 1000000 ? t->iusec : t->vusec);
	return 0;
}

static int check_posix_timer(const struct core *k, const PosixTimerEntry *t)
{
	if (t->it_id > INT32_MAX)
		return bad(k, "tc.timers.posix.it_id", t->it_id);
	if (t->si_signo > NSIGNALS)
		return bad(k, "tc.timers.posix.si_signo", t->si_signo);
	if (t->insec >= 1000000000 || t->vnsec >= 1000000000)
		return bad(k, "tc.timers.posix: nanoseconds", MAX(t->insec, t->vnsec));
	return 0;
}

static int check_timers(const struct core *k, const TaskTimersEntry *t)
{
	if (!t)
		return 0;
	NOTE(k->c, check_itimer(k, "tc.timers.real: microseconds", t->real), k->err);
	NOTE(k->c, check_itimer(k, "tc.timers.virt: microseconds", t->virt), k->err);
	NOTE(k->c, check_itimer(k, "tc.timers.prof: microseconds", t->prof), k->err);
	for (size_t i = 0; i < t->n_posix; i++)
		NOTE(k->c, check_posix_timer(k, t->posix[i]), k->err);
	return 0;
}

static int check_live(const struct core *k)
{
	const TaskCoreEntry *tc = k->e->tc;

	NOTE(k->c, check_array(k, "tc.sigactions", tc->n_sigactions, NSIGACTIONS), k->err);
	if (tc->rlimits && tc->rlimits->n_rlimits > NRLIMITS)
		return bad_count(k, "tc.rlimits", tc->rlimits->n_rlimits, NRLIMITS);
	if (tc->has_stop_signo && (!tc->stop_signo || tc->stop_signo > NSIGNALS))
		return bad(k, "tc.stop_signo", tc->stop_signo);
	NOTE(k->c, check_timers(k, tc->timers), k->err);
	NOTE(k->c, check_task_values(k->c, k->image, tc, k->err), k->err);
	NOTE(k->c, check_signals(k, "tc.signals_s", tc->signals_s), k->err);
	NOTE(k->c, check_registers(k), k->err);
	return check_thread_core(k);
}

static int read_core(struct core *k, uint32_t tid)
{
	CoreEntry *e;

	img_name(IMG_CORE, tid, k->image);
	TRY(img_read_one(k->c->dir, IMG_CORE, tid, check_scratch(k->c), &e, k->err));
	k->e = e;
	if (e->mtype == CORE_ENTRY__MARCH__X86_64)
		return 0;
	return err_refuse(k->err, "restore on a machine like the one of the dump",
			  "%s: mtype: %d is another architecture than x86-64", k->image,
			  (int)e->mtype);
}

static int check_leader(struct core *k, uint32_t pid, bool *ret_zombie)
{
	const TaskCoreEntry *tc;

	TRY(read_core(k, pid));
	tc = k->e->tc;
	if (!tc)
		return missing(k, "tc");
	if (tc->task_state < STATE_ALIVE || tc->task_state > STATE_STOPPED)
		return bad(k, "tc.task_state", tc->task_state);
	if (strlen(tc->comm) > COMM_MAX)
		return bad(k, "tc.comm: length", strlen(tc->comm));
	*ret_zombie = tc->task_state == STATE_DEAD;
	if (!*ret_zombie)
		return check_live(k);
	return tc->exit_code > 0xffff ? bad(k, "tc.exit_code", tc->exit_code) : 0;
}

static int check_thread(struct core *k, uint32_t tid)
{
	TRY(read_core(k, tid));
	NOTE(k->c, check_registers(k), k->err);
	return check_thread_core(k);
}

int check_cores(struct check *c, struct check_task *t, struct err *err)
{
	struct core k = {.c = c, .err = err};

	NOTE(c, check_leader(&k, t->e->pid, &t->zombie), err);
	if (t->zombie && t->e->n_threads > 1)
		return err_input(err, "pstree.img: pid %u: threads: %zu of a zombie", t->e->pid,
				 t->e->n_threads);
	for (size_t i = 1; i < t->e->n_threads; i++)
		NOTE(c, check_thread(&k, t->e->threads[i]), err);
	return 0;
}
