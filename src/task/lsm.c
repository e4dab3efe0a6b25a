/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label of a security module (AppArmor profile, SELinux context), /proc/PID/attr/current. Reading
 * it gives EINVAL where no module labels processes. A confined process is refused: its profile
 * would have to be entered again at the right moment of the restore.
 */
#include "task/part.h"

#include "base/io.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"

#include <string.h>

static int lsm_check(const struct target *t, struct err *err)
{
	auto_free char *label = NULL;

	/* EINVAL: no module. ENOENT: no CONFIG_SECURITY, or the process has gone. */
	if (io_read_file(t->proc, "attr/current", &label, NULL) < 0 || !*label)
		return 0;
	label[strcspn(label, "\n")] = '\0';
	if (str_after(label, "unconfined") || str_after(label, "kernel"))
		return 0;
	return err_refuse(err, "run it unconfined",
			  "confined by the security module profile \"%s\"", label);
}

static int lsm_take(struct dthread *d, struct err *err)
{
	/* One file to open less for each process of the tree. */
	return d->ts->has_lsm ? lsm_check(d->t, err) : 0;
}

static int lsm_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	const CredsEntry *c = core->thread_core->creds;

	if (c && c->lsm_profile && !str_after(c->lsm_profile, "unconfined"))
		return err_refuse(err, "restore it with CRIU",
				  "confined by the security module profile \"%s\"", c->lsm_profile);
	return 0;
}

const struct task_part lsm_part = {
	.name = "security label",
	.leader_only = true,
	.check = lsm_check,
	.take = lsm_take,
	.load = lsm_load,
};
