/* SPDX-License-Identifier: Apache-2.0 */
/* What both kinds of tracker have in common. */
#include "mem/track.h"

#include "base/auto.h"
#include "base/vec.h"
#include "kernel/proc.h"
#include "kernel/uapi/mman.h"
#include "mem/track_kinds.h"

static const struct {
	const char *name;
	const struct tracker_ops *ops;
} kinds[] = {
	[TRACKER_NONE] = {"none", NULL},
	[TRACKER_UFFD_WP] = {"uffd-wp", &track_uffd},
	[TRACKER_SOFT_DIRTY] = {"soft-dirty", &track_soft},
};

const char *tracker_name(enum tracker_kind kind)
{
	return kinds[kind].name;
}

int tracker_probe(enum tracker_kind kind)
{
	return kinds[kind].ops ? kinds[kind].ops->probe() : -EOPNOTSUPP;
}

bool tracker_works(enum tracker_kind kind)
{
	return tracker_probe(kind) >= 0;
}

enum tracker_kind tracker_best(void)
{
	if (tracker_works(TRACKER_UFFD_WP))
		return TRACKER_UFFD_WP;
	return tracker_works(TRACKER_SOFT_DIRTY) ? TRACKER_SOFT_DIRTY : TRACKER_NONE;
}

enum pagescan_mode tracker_scan_mode(enum tracker_kind kind, bool protect)
{
	switch (kind) {
	case TRACKER_UFFD_WP:
		return protect ? PAGESCAN_PROTECT : PAGESCAN_DIRTY;
	case TRACKER_SOFT_DIRTY:
		return PAGESCAN_SOFT_DIRTY;
	case TRACKER_NONE:
		break;
	}
	return PAGESCAN_PLAIN;
}

int tracker_attach(struct target *t, enum tracker_kind kind, struct tracker **ret, struct err *err)
{
	struct tracker *tr;
	struct proc_stat st;
	int r = proc_read_stat(t->proc, "stat", &st);

	if (!kinds[kind].ops)
		return err_bug(err, "pid %d: no kind of tracker", t->pid);
	if (proc_is_gone(r))
		return err_gone(err, "pid %d (%s): died", t->pid, t->comm);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): read its stat", t->pid, t->comm);
	tr = xcalloc(1, sizeof(*tr));
	*tr = (struct tracker){
		.kind = kind,
		.pid = t->pid,
		.start_time = st.start_time,
		.fd = -EBADF,
		.is_new = true,
	};
	r = kinds[kind].ops->attach(t, tr, err);
	if (r < 0) {
		tracker_free(tr);
		return r;
	}
	*ret = tr;
	return 0;
}

void tracker_free(struct tracker *tr)
{
	if (!tr)
		return;
	fd_close(tr->fd);
	vec_done(&tr->armed);
	free(tr);
}

bool tracker_is_stale(const struct tracker *tr)
{
	return kinds[tr->kind].ops->is_stale(tr);
}

bool vma_is_trackable(const struct vma *v)
{
	const uint32_t kernels = VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL |
				 VMA_AREA_AIORING | VMA_AREA_GUARD | VMA_AREA_UPROBES;

	return vma_is_private(v) && !(v->status & kernels) && !(v->flags & MAP_HUGETLB) &&
	       (v->flags & MAP_TYPE) != MAP_DROPPABLE;
}

int tracker_arm(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
		struct err *err)
{
	return kinds[tr->kind].ops->arm(tr, vmas, n, states, err);
}

int tracker_restart(struct tracker *tr, struct err *err)
{
	return kinds[tr->kind].ops->restart(tr, err);
}
