/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ids.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/vec.h"
#include "image/inventory.h"
#include "image/schema/core.pb-c.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *const ns_names[NS_KIND_MAX] = {
	[NS_PID] = "pid",   [NS_NET] = "net", [NS_IPC] = "ipc",	  [NS_UTS] = "uts",
	[NS_TIME] = "time", [NS_MNT] = "mnt", [NS_USER] = "user", [NS_CGROUP] = "cgroup",
};

/* One object, known by a process that has it. Kept in kcmp's order. */
struct holder {
	pid_t pid;
	uint32_t id;
};
typedef VEC(struct holder) holder_vec;

struct ns_seen {
	enum ns_kind kind;
	ino_t ino;
	uint32_t id;
};

struct ids {
	holder_vec vm, files, fs, sighand;
	VEC(struct ns_seen) ns;
	struct task_ids own;
};

/* 0 equal, 1 less, 2 greater, 3 not ordered; negative errno. */
static int kcmp(pid_t a, pid_t b, int type)
{
	long r = syscall(SYS_kcmp, a, b, type, 0, 0);

	return r < 0 ? -errno : (int)r;
}

/* Binary search in kcmp's order; a new object gets the next id. *ret_owner: who had it first. */
static int object_id(holder_vec *v, pid_t pid, int type, uint32_t *ret, pid_t *ret_owner)
{
	size_t lo = 0, hi = v->len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = kcmp(pid, v->data[mid].pid, type);

		if (c < 0)
			return c;
		if (c == 0) {
			*ret = v->data[mid].id;
			*ret_owner = v->data[mid].pid;
			return 0;
		}
		if (c == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	(void)vec_push(v);
	for (size_t i = v->len - 1; i > lo; i--)
		v->data[i] = v->data[i - 1];
	v->data[lo] = (struct holder){.pid = pid, .id = (uint32_t)v->len};
	*ret = (uint32_t)v->len;
	*ret_owner = 0;
	return 0;
}

static uint32_t ns_id(struct ids *ids, enum ns_kind kind, ino_t ino)
{
	struct ns_seen *s;

	vec_foreach (known, &ids->ns)
		if (known->kind == kind && known->ino == ino)
			return known->id;
	s = vec_push(&ids->ns);
	*s = (struct ns_seen){.kind = kind, .ino = ino, .id = (uint32_t)ids->ns.len};
	return s->id;
}

static int fill_ns(struct ids *ids, int proc, struct task_ids *ret)
{
	for (int k = 0; k < NS_KIND_MAX; k++) {
		char path[32];
		struct stat st;

		snprintf(path, sizeof(path), "ns/%s", ns_names[k]);
		if (fstatat(proc, path, &st, 0) < 0) {
			if (errno != ENOENT)
				return -errno;
			ret->ns[k] = 0;
			continue;
		}
		ret->ns[k] = ns_id(ids, k, st.st_ino);
	}
	return 0;
}

int ids_new(struct ids **ret, struct err *err)
{
	auto_close int proc = open("/proc/self", O_PATH | O_CLOEXEC);
	struct ids *ids = xcalloc(1, sizeof(*ids));
	const struct holder own = {.pid = getpid(), .id = 1};
	int r;

	r = proc < 0 ? -errno : fill_ns(ids, proc, &ids->own);
	if (r < 0) {
		ids_free(ids);
		return err_sys(err, r, "/proc/self/ns");
	}
	*vec_push(&ids->vm) = own;
	*vec_push(&ids->files) = own;
	*vec_push(&ids->fs) = own;
	*vec_push(&ids->sighand) = own;
	ids->own.vm = ids->own.files = ids->own.fs = ids->own.sighand = 1;
	*ret = ids;
	return 0;
}

void ids_free(struct ids *ids)
{
	if (!ids)
		return;
	vec_done(&ids->vm);
	vec_done(&ids->files);
	vec_done(&ids->fs);
	vec_done(&ids->sighand);
	vec_done(&ids->ns);
	free(ids);
}

const struct task_ids *ids_own(const struct ids *ids)
{
	return &ids->own;
}

static int check_ns(const struct ids *ids, const struct target *t, const struct task_ids *got,
		    struct err *err)
{
	for (int k = 0; k < NS_KIND_MAX; k++) {
		if (k == NS_TIME || got->ns[k] == ids->own.ns[k])
			continue;
		return err_refuse(err,
				  "run torpor inside that namespace (nsenter); dumping namespaces "
				  "isn't supported yet",
				  "pid %d (%s) is in another %s namespace than torpor", t->pid,
				  t->comm, ns_names[k]);
	}
	return 0;
}

static int private_id(holder_vec *v, const struct target *t, int type, const char *what,
		      uint32_t *ret, struct err *err)
{
	pid_t other;
	int r = object_id(v, t->pid, type, ret, &other);

	if (r < 0)
		return err_sys(err, r, "pid %d (%s): kcmp of its %s", t->pid, t->comm, what);
	if (!other)
		return 0;
	return err_refuse(err, "wait until the tasks have called exec or exited",
			  "pid %d (%s) shares its %s with pid %d without being a thread of it",
			  t->pid, t->comm, what, other);
}

int ids_of(struct ids *ids, const struct target *t, struct task_ids *ret, struct err *err)
{
	pid_t other;
	int r;

	r = fill_ns(ids, t->proc, ret);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): namespaces", t->pid, t->comm);
	TRY(check_ns(ids, t, ret, err));
	TRY(private_id(&ids->vm, t, KCMP_VM, "memory", &ret->vm, err));
	TRY(private_id(&ids->fs, t, KCMP_FS, "working directory", &ret->fs, err));
	TRY(private_id(&ids->sighand, t, KCMP_SIGHAND, "signal handlers", &ret->sighand, err));
	r = object_id(&ids->files, t->pid, KCMP_FILES, &ret->files, &other);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): kcmp of its descriptors", t->pid, t->comm);
	return 0;
}

static void fill_entry(const struct task_ids *ids, TaskKobjIdsEntry *e)
{
	e->vm_id = ids->vm;
	e->files_id = ids->files;
	e->fs_id = ids->fs;
	e->sighand_id = ids->sighand;
#define SET_NS(field, kind)                                                                        \
	do {                                                                                       \
		e->has_##field = ids->ns[kind] != 0;                                               \
		e->field = ids->ns[kind];                                                          \
	} while (0)
	SET_NS(pid_ns_id, NS_PID);
	SET_NS(net_ns_id, NS_NET);
	SET_NS(ipc_ns_id, NS_IPC);
	SET_NS(uts_ns_id, NS_UTS);
	SET_NS(time_ns_id, NS_TIME);
	SET_NS(mnt_ns_id, NS_MNT);
	SET_NS(user_ns_id, NS_USER);
	SET_NS(cgroup_ns_id, NS_CGROUP);
#undef SET_NS
}

int ids_write(const struct img_dir *dir, uint32_t vpid, const struct task_ids *ids, struct err *err)
{
	TaskKobjIdsEntry e = TASK_KOBJ_IDS_ENTRY__INIT;

	fill_entry(ids, &e);
	return img_write_one(dir, IMG_IDS, vpid, &e.base, err);
}

int ids_write_inventory(const struct ids *ids, const struct img_dir *dir,
			const struct inventory_chain *chain, struct err *err)
{
	TaskKobjIdsEntry e = TASK_KOBJ_IDS_ENTRY__INIT;

	fill_entry(&ids->own, &e);
	return inventory_write(dir, &e, chain, err);
}
