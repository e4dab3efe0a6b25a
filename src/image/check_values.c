/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that have a range of their own, whatever the other images say: what the loaders of a
 * restore would refuse. Format facts: ../shared/formats/IMAGES.md sections 5 and 9 to 11.
 */
#include "image/check_priv.h"

#include "base/auto.h"
#include "image/schema/fdinfo.pb-c.h"

#include <fcntl.h>
#include <limits.h>

#define NSIGNALS	64
#define ROBUST_HEAD_LEN 24
#define RSEQ_LEN_MIN	32
#define RSEQ_LEN_MAX	4096
#define BUILD_ID_WORDS	16
#define CAP_WORDS	2
#define OOM_MAX		1000

/* Kernel constants that <sched.h> and <signal.h> have in some versions only. */
enum { POLICY_FIFO = 1, POLICY_RR = 2, POLICY_ISO = 4, POLICY_DEADLINE = 6, POLICY_EXT = 7 };
#define RESET_ON_FORK 0x40000000u
#define STACK_FLAGS   (1u << 31 | 2u | 1u) /* AUTODISARM, DISABLE, ONSTACK */

/* -------------------------------------------------------------------- threads */

static int bad(const char *image, const char *field, int64_t value, struct err *err)
{
	return err_input(err, "%s: %s: %" PRId64, image, field, value);
}

static int check_sched(const char *image, const ThreadCoreEntry *e, struct err *err)
{
	uint32_t policy = e->sched_policy & ~RESET_ON_FORK;
	bool real_time = policy == POLICY_FIFO || policy == POLICY_RR;

	if (!e->has_sched_nice)
		return 0;
	if (e->sched_nice < -20 || e->sched_nice > 19)
		return bad(image, "thread_core.sched_nice", e->sched_nice, err);
	if (policy > POLICY_EXT || policy == POLICY_ISO || policy == POLICY_DEADLINE)
		return bad(image, "thread_core.sched_policy", e->sched_policy, err);
	if (real_time ? e->sched_prio < 1 || e->sched_prio > 99 : e->sched_prio != 0)
		return bad(image, "thread_core.sched_prio", e->sched_prio, err);
	return 0;
}

/* Effective ones must be permitted, ambient ones inheritable, too. Absent words are 0. */
static int check_caps(const char *image, const CredsEntry *e, struct err *err)
{
	for (size_t i = 0; e && i < CAP_WORDS; i++) {
		uint32_t prm = i < e->n_cap_prm ? e->cap_prm[i] : 0;
		uint32_t inh = i < e->n_cap_inh ? e->cap_inh[i] : 0;

		if (i < e->n_cap_eff && e->cap_eff[i] & ~prm)
			return bad(image, "creds.cap_eff: more than cap_prm", e->cap_eff[i], err);
		if (i < e->n_cap_amb && e->cap_amb[i] & ~(prm & inh))
			return bad(image, "creds.cap_amb: more than cap_prm and cap_inh",
				   e->cap_amb[i], err);
	}
	return 0;
}

static int check_areas(const char *image, const ThreadCoreEntry *e, struct err *err)
{
	const RseqEntry *rseq = e->rseq_entry;

	if (e->futex_rla_len && e->futex_rla_len != ROBUST_HEAD_LEN)
		return bad(image, "thread_core.futex_rla_len", e->futex_rla_len, err);
	if (rseq && rseq->rseq_abi_pointer &&
	    (rseq->rseq_abi_size < RSEQ_LEN_MIN || rseq->rseq_abi_size > RSEQ_LEN_MAX))
		return bad(image, "thread_core.rseq_entry.rseq_abi_size", rseq->rseq_abi_size, err);
	if (e->sas && e->sas->ss_flags & ~STACK_FLAGS)
		return bad(image, "thread_core.sas.ss_flags", e->sas->ss_flags, err);
	return 0;
}

int check_thread_values(struct check *c, const char *image, const ThreadCoreEntry *e,
			struct err *err)
{
	NOTE(c, check_sched(image, e, err), err);
	NOTE(c, check_caps(image, e->creds, err), err);
	return check_areas(image, e, err);
}

/* ------------------------------------------------------------------ processes */

static int check_limits(const char *image, const TaskRlimitsEntry *e, struct err *err)
{
	for (size_t i = 0; e && i < e->n_rlimits; i++)
		if (e->rlimits[i]->cur > e->rlimits[i]->max)
			return bad(image, "tc.rlimits: soft above hard", (int64_t)i, err);
	return 0;
}

static int check_timer_ids(const char *image, const TaskTimersEntry *e, struct err *err)
{
	struct idmap ids = {0};
	int r = 0;

	for (size_t i = 0; e && r == 0 && i < e->n_posix; i++)
		if (!idmap_add(&ids, e->posix[i]->it_id, 0))
			r = bad(image, "tc.timers.posix.it_id: there are two", e->posix[i]->it_id,
				err);
	idmap_done(&ids);
	return r;
}

int check_task_values(struct check *c, const char *image, const TaskCoreEntry *e, struct err *err)
{
	if (e->oom_score_adj < -OOM_MAX || e->oom_score_adj > OOM_MAX)
		NOTE(c, bad(image, "tc.oom_score_adj", e->oom_score_adj, err), err);
	NOTE(c, check_limits(image, e->rlimits, err), err);
	return check_timer_ids(image, e->timers, err);
}

/* ---------------------------------------------------------------------- files */

static const FownEntry *owner_of(const FileEntry *e)
{
	return e->reg ? e->reg->fown : e->pipe ? e->pipe->fown : e->memfd ? e->memfd->fown : NULL;
}

static int check_owner(const FownEntry *e, struct err *err)
{
	if (!e)
		return 0;
	if (e->signum > NSIGNALS || e->pid_type > F_OWNER_PGRP || e->pid > INT_MAX)
		return err_input(err, "fown: signum %u, pid_type %u, pid %u", e->signum,
				 e->pid_type, e->pid);
	return 0;
}

int check_file_values(const FileEntry *e, struct err *err)
{
	TRY(check_owner(owner_of(e), err));
	if (e->reg && e->reg->has_size && e->reg->size > INT64_MAX)
		return err_input(err, "reg.size: %" PRIu64, e->reg->size);
	if (e->reg && e->reg->n_build_id > BUILD_ID_WORDS)
		return err_input(err, "reg.build_id: %zu words", e->reg->n_build_id);
	if (e->pipe && (e->pipe->flags & O_ACCMODE) == O_ACCMODE)
		return err_input(err, "pipe.flags: %#x", e->pipe->flags);
	if (e->memfd && e->memfd->pos > INT64_MAX)
		return err_input(err, "memfd.pos: %" PRIu64, e->memfd->pos);
	return 0;
}
