/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a thread (struct cred): ids, groups, capability sets, securebits, no_new_privs.
 * Each thread has its own; C libraries keep them equal, nothing forces them to.
 *
 * Nearly all of it is in /proc/PID/task/TID/status, securebits are asked in the thread. Ids there
 * are as the reader's user namespace has them, which is the thread's own (another one is refused
 * before).
 *
 * A half-made thread starts with torpor's credentials. The order of the way from those:
 *   1. inheritable set: may hold capabilities that the bounding set no longer has, so before it;
 *   2. bounding set, while there is CAP_SETPCAP;
 *   3. SECBIT_NO_SETUID_FIXUP, so that changing uids leaves the capabilities alone;
 *   4. groups, gids, uids;
 *   5. ambient set: each must be permitted and inheritable, and a change of uids would clear it;
 *   6. the real securebits, while there is CAP_SETPCAP;
 *   7. permitted and effective set; 8. no_new_privs.
 */
#include "task/creds.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"
#include "kernel/proc.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* In the order of their numbers. */
static const char *const cap_names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

const char *cap_name(unsigned int cap)
{
	return cap < ARRAY_SIZE(cap_names) ? cap_names[cap] : "a capability of a newer kernel";
}

void cap_to_words(uint64_t set, uint32_t words[2])
{
	words[0] = (uint32_t)set;
	words[1] = (uint32_t)(set >> 32);
}

uint64_t cap_from_words(const uint32_t *words, size_t n)
{
	return (n > 0 ? words[0] : 0) | (uint64_t)(n > 1 ? words[1] : 0) << 32;
}

/* ------------------------------------------------------------------ dump */

static bool parse_ids(const char *status, const char *key, uint32_t ret[4])
{
	const char *p = proc_field(status, key);

	for (int i = 0; i < 4; i++) {
		uint64_t id;

		if (!p || !scan_u64(&p, 10, &id) || id > UINT32_MAX)
			return false;
		ret[i] = (uint32_t)id;
	}
	return true;
}

static bool parse_groups(const char *status, struct arena *a, struct creds *c)
{
	const char *p = proc_field(status, "Groups"), *eol;
	VEC(uint32_t) groups = {0};
	uint64_t id;

	if (!p)
		return false;
	/* Blanks are skipped by scan_u64, a newline may be too: stop at the end of the line. */
	eol = strchrnul(p, '\n');
	while (p < eol && scan_u64(&p, 10, &id) && p <= eol)
		*vec_push(&groups) = (uint32_t)id;
	c->ngroups = (uint32_t)groups.len;
	c->groups = NULL;
	if (groups.len)
		c->groups = arena_dup(a, groups.data, groups.len * sizeof(*groups.data));
	vec_done(&groups);
	return true;
}

int creds_parse(const char *status, struct arena *a, struct creds *ret, struct err *err)
{
	uint32_t uids[4], gids[4];
	uint64_t nnp = 0;
	struct {
		const char *key;
		uint64_t *to;
	} sets[] = {{"CapInh", &ret->inh},
		    {"CapPrm", &ret->prm},
		    {"CapEff", &ret->eff},
		    {"CapBnd", &ret->bnd},
		    {"CapAmb", &ret->amb}};

	*ret = (struct creds){0};
	if (!parse_ids(status, "Uid", uids) || !parse_ids(status, "Gid", gids) ||
	    !parse_groups(status, a, ret))
		return err_bug(err, "no Uid, Gid or Groups in /proc/PID/status");
	ret->uid = uids[0], ret->euid = uids[1], ret->suid = uids[2], ret->fsuid = uids[3];
	ret->gid = gids[0], ret->egid = gids[1], ret->sgid = gids[2], ret->fsgid = gids[3];
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (!proc_field_u64(status, sets[i].key, 16, sets[i].to))
			return err_bug(err, "no %s in /proc/PID/status", sets[i].key);
	if (!proc_field_u64(status, "NoNewPrivs", 10, &nnp))
		return err_bug(err, "no NoNewPrivs in /proc/PID/status");
	ret->no_new_privs = nnp != 0;
	return 0;
}

static int creds_ask(struct dthread *d, struct err *err)
{
	d->asked.secbits = batch_call(d->b, SYS_prctl, PR_GET_SECUREBITS);
	batch_must(d->b, d->asked.secbits);
	return 0;
}

static void put_caps(struct arena *a, uint64_t set, size_t *ret_n, uint32_t **ret)
{
	*ret = arena_array_of(a, uint32_t, 2);
	*ret_n = 2;
	cap_to_words(set, *ret);
}

static int creds_take(struct dthread *d, struct err *err)
{
	CredsEntry *e = arena_new_of(d->a, CredsEntry);
	struct creds c;

	TRY(creds_parse(d->status, d->a, &c, err));
	creds_entry__init(e);
	e->uid = c.uid, e->euid = c.euid, e->suid = c.suid, e->fsuid = c.fsuid;
	e->gid = c.gid, e->egid = c.egid, e->sgid = c.sgid, e->fsgid = c.fsgid;
	put_caps(d->a, c.inh, &e->n_cap_inh, &e->cap_inh);
	put_caps(d->a, c.prm, &e->n_cap_prm, &e->cap_prm);
	put_caps(d->a, c.eff, &e->n_cap_eff, &e->cap_eff);
	put_caps(d->a, c.bnd, &e->n_cap_bnd, &e->cap_bnd);
	put_caps(d->a, c.amb, &e->n_cap_amb, &e->cap_amb);
	e->secbits = (uint32_t)batch_ret(d->b, d->asked.secbits);
	e->n_groups = c.ngroups;
	e->groups = c.groups;
	if (c.no_new_privs) {
		e->has_no_new_privs = 1;
		e->no_new_privs = 1;
	}
	d->thread->creds = e;
	return 0;
}

/* --------------------------------------------------------------- restore */

static int creds_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const CredsEntry *e = core->thread_core->creds;
	struct creds *c;

	if (!e)
		return err_input(err, "no credentials in the record");
	if (e->n_cap_inh > 2 || e->n_cap_prm > 2 || e->n_cap_eff > 2 || e->n_cap_bnd > 2 ||
	    e->n_cap_amb > 2)
		return err_input(err, "capability sets of more than 64 bits");
	if (e->n_groups > 65536)
		return err_input(err, "%zu groups, a thread has up to 65536", e->n_groups);
	c = r->creds = arena_new_of(r->rt->priv->ts->a, struct creds);
	c->uid = e->uid, c->euid = e->euid, c->suid = e->suid, c->fsuid = e->fsuid;
	c->gid = e->gid, c->egid = e->egid, c->sgid = e->sgid, c->fsgid = e->fsgid;
	c->inh = cap_from_words(e->cap_inh, e->n_cap_inh);
	c->prm = cap_from_words(e->cap_prm, e->n_cap_prm);
	c->eff = cap_from_words(e->cap_eff, e->n_cap_eff);
	c->bnd = cap_from_words(e->cap_bnd, e->n_cap_bnd);
	c->amb = cap_from_words(e->cap_amb, e->n_cap_amb);
	c->secbits = e->secbits;
	c->ngroups = (uint32_t)e->n_groups;
	c->groups = e->groups;
	c->no_new_privs = e->has_no_new_privs && e->no_new_privs;
	if (c->eff & ~c->prm || c->amb & ~(c->prm & c->inh))
		return err_input(err, "effective or ambient capabilities that aren't permitted");
	return 0;
}

static bool ids_equal(const struct creds *a, const struct creds *b)
{
	return a->uid == b->uid && a->euid == b->euid && a->suid == b->suid &&
	       a->fsuid == b->fsuid && a->gid == b->gid && a->egid == b->egid &&
	       a->sgid == b->sgid && a->fsgid == b->fsgid;
}

static bool groups_equal(const struct creds *a, const struct creds *b)
{
	return a->ngroups == b->ngroups &&
	       (!a->ngroups || !memcmp(a->groups, b->groups, a->ngroups * sizeof(*a->groups)));
}

static bool creds_equal(const struct creds *a, const struct creds *b)
{
	return ids_equal(a, b) && groups_equal(a, b) && a->inh == b->inh && a->prm == b->prm &&
	       a->eff == b->eff && a->bnd == b->bnd && a->amb == b->amb &&
	       a->no_new_privs == b->no_new_privs && a->secbits == b->secbits;
}

/* Is the id there in our user namespace? Lines "inside outside count". */
static bool id_is_mapped(const char *map, uint32_t id)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t in, out, n;

	if (io_read_file(-1, map, &text, NULL) < 0)
		return true;
	p = text;
	while (scan_u64(&p, 10, &in) && scan_u64(&p, 10, &out) && scan_u64(&p, 10, &n)) {
		if (id >= in && id - in < n)
			return true;
		while (*p == '\n')
			p++;
	}
	return false;
}

static int creds_able_ids(const struct creds *c, struct err *err)
{
	const uint32_t uids[] = {c->uid, c->euid, c->suid, c->fsuid};
	const uint32_t gids[] = {c->gid, c->egid, c->sgid, c->fsgid};

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		if (!id_is_mapped("/proc/self/uid_map", uids[i]))
			return err_refuse(err, "run torpor in a user namespace that maps it",
					  "uid %u has no mapping here", uids[i]);
		if (!id_is_mapped("/proc/self/gid_map", gids[i]))
			return err_refuse(err, "run torpor in a user namespace that maps it",
					  "gid %u has no mapping here", gids[i]);
	}
	return 0;
}

static int need_cap(const struct machine *m, unsigned int cap, const char *what, struct err *err)
{
	if (m->creds.eff >> cap & 1)
		return 0;
	(void)err_sys(err, -EPERM, "%s", what);
	return err_hint(err, "give torpor %s", cap_name(cap));
}

static int creds_able(const struct rthread *r, const struct machine *m, struct err *err)
{
	uint64_t known = m->last_cap >= 63 ? UINT64_MAX : (1ULL << (m->last_cap + 1)) - 1;
	const struct creds *c = r->creds;
	uint64_t missing = c->prm & known & ~m->creds.prm;

	if (missing) {
		(void)err_sys(err, -EPERM, "thread %u holds %s, which torpor doesn't", r->vtid,
			      cap_name((unsigned int)__builtin_ctzll(missing)));
		return err_hint(err, "give torpor that capability");
	}
	if (c->bnd & known & ~m->creds.bnd)
		log_warn("thread %u: capabilities %llx leave its bounding set for good, torpor "
			 "doesn't have them itself",
			 r->vtid, (unsigned long long)(c->bnd & known & ~m->creds.bnd));
	if (m->creds.no_new_privs && !c->no_new_privs)
		return err_refuse(err, "start torpor without no_new_privs",
				  "thread %u: no_new_privs can't be taken back", r->vtid);
	if (!ids_equal(c, &m->creds)) {
		TRY(creds_able_ids(c, err));
		TRY(need_cap(m, CAP_SETUID, "restore user ids", err));
		TRY(need_cap(m, CAP_SETGID, "restore group ids", err));
	}
	if (!groups_equal(c, &m->creds))
		TRY(need_cap(m, CAP_SETGID, "restore supplementary groups", err));
	if (m->creds.bnd & ~c->bnd)
		TRY(need_cap(m, CAP_SETPCAP, "lower the bounding set", err));
	if (m->creds.secbits != c->secbits)
		TRY(need_cap(m, CAP_SETPCAP, "restore securebits", err));
	return 0;
}

static void set_caps(struct rstep *s, uint64_t prm, uint64_t eff, uint64_t inh)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	raddr_t h = batch_put(s->b, &hdr, sizeof(hdr)), d;

	for (int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(prm >> (32 * i));
		data[i].effective = (uint32_t)(eff >> (32 * i));
		data[i].inheritable = (uint32_t)(inh >> (32 * i));
	}
	d = batch_put(s->b, data, sizeof(data));
	step_call(s, SYS_capset, h.va, d.va);
}

static void set_ids(struct rstep *s, const struct creds *c)
{
	if (!groups_equal(c, &s->p->ts->m.creds)) {
		raddr_t list = {0};

		if (c->ngroups)
			list = batch_put(s->b, c->groups, c->ngroups * sizeof(*c->groups));
		step_call(s, SYS_setgroups, c->ngroups, list.va);
	}
	if (ids_equal(c, &s->p->ts->m.creds))
		return;
	/* The fs ids follow the effective ones, so they come second; they report no errors. */
	step_call(s, SYS_setresgid, c->gid, c->egid, c->sgid);
	step_call(s, SYS_setfsgid, c->fsgid);
	step_call(s, SYS_setresuid, c->uid, c->euid, c->suid);
	step_call(s, SYS_setfsuid, c->fsuid);
}

static void set_ambient(struct rstep *s, uint64_t now, uint64_t want)
{
	if (now)
		step_call(s, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (uint64_t cap = 0; cap < CAP_COUNT; cap++)
		if (want >> cap & 1)
			step_call(s, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

/* What the kernel says it has become, with what was asked for; setfsuid() fails silently. */
static int creds_verify(struct rstep *s, const struct creds *want, struct err *err)
{
	auto_free char *status = NULL;
	char path[64];
	struct creds got;
	int r;

	snprintf(path, sizeof(path), "task/%d/status", s->th->tid);
	r = io_read_file(s->t->proc, path, &status, NULL);
	if (r < 0)
		return err_sys(err, r, "read /proc/%d/%s", s->t->pid, path);
	TRY(creds_parse(status, s->p->ts->a, &got, err));
	got.secbits = want->secbits;
	if (!creds_equal(&got, want))
		return err_bug(err,
			       "thread %u: credentials came out differently (uid %u, gid %u, "
			       "permitted %llx)",
			       s->r->vtid, got.uid, got.gid, (unsigned long long)got.prm);
	return 0;
}

static int creds_restore(struct rstep *s, struct err *err)
{
	const struct creds *now = &s->p->ts->m.creds;
	uint32_t secbits = now->secbits;
	struct creds want = *s->r->creds;
	/* Capabilities of a newer kernel than this one can't be had, see creds_able. */
	uint64_t known = s->p->ts->m.last_cap >= 63 ? UINT64_MAX
						    : (1ULL << (s->p->ts->m.last_cap + 1)) - 1;

	want.prm &= known, want.eff &= known, want.amb &= known;
	want.bnd &= now->bnd;
	want.inh &= known & (now->bnd | now->inh);
	if (creds_equal(now, &want))
		return 0;
	TRY(step_room(s, 200, 4096 + want.ngroups * sizeof(*want.groups), err));
	set_caps(s, now->prm, now->prm, want.inh);
	for (uint64_t cap = 0; cap < CAP_COUNT; cap++)
		if ((now->bnd & ~want.bnd) >> cap & 1)
			step_call(s, SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (!ids_equal(&want, now) && now->eff >> CAP_SETPCAP & 1) {
		secbits |= 1 << SECURE_NO_SETUID_FIXUP;
		step_call(s, SYS_prctl, PR_SET_SECUREBITS, secbits);
	}
	set_ids(s, &want);
	set_ambient(s, now->amb, want.amb);
	if (secbits != want.secbits)
		step_call(s, SYS_prctl, PR_SET_SECUREBITS, want.secbits);
	set_caps(s, want.prm, want.eff, want.inh);
	if (want.no_new_privs)
		step_call(s, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	TRY(step_flush(s, err));
	return creds_verify(s, &want, err);
}

const struct task_part creds_part = {
	.name = "credentials",
	.ask = creds_ask,
	.take = creds_take,
	.load = creds_load,
	.able = creds_able,
	.restore = creds_restore,
};
