/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Left out, and thus to the dump itself: what isn't the program's ([vdso], [vvar], [vsyscall],
 * [uprobes]), huge pages of hugetlbfs (a pool that reading must not drain), devices, and other
 * objects of the kernel.
 */
#include "mem/maps.h"

#include "base/auto.h"
#include "base/parse.h"
#include "kernel/proc.h"
#include "mem/classify.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

bool maps_hugetlb_mount(const char *line, dev_t *ret)
{
	const char *type = strstr(line, " - "), *p = line;
	uint64_t id, parent, major, minor;

	if (!type || !str_after(type, " - hugetlbfs "))
		return false;
	if (!scan_u64(&p, 10, &id) || !scan_u64(&p, 10, &parent) || !scan_u64(&p, 10, &major) ||
	    *p++ != ':' || !scan_u64(&p, 10, &minor))
		return false;
	*ret = makedev((unsigned int)major, (unsigned int)minor);
	return true;
}

int maps_ctx_init(struct maps_ctx *ctx, const struct target *t, struct err *err)
{
	auto_lines struct proc_lines l = PROC_LINES_INIT;
	char *line;
	dev_t dev;

	*ctx = (struct maps_ctx){0};
	TRY(classify_shm_dev(&ctx->shm_dev, err));
	if (proc_lines_open(&l, t->proc, "mountinfo") < 0)
		return 0; /* it has ended, which shows later */
	while (proc_lines_next(&l, &line) > 0)
		if (maps_hugetlb_mount(line, &dev))
			*vec_push(&ctx->hugetlb_devs) = dev;
	return 0;
}

void maps_ctx_done(struct maps_ctx *ctx)
{
	vec_done(&ctx->hugetlb_devs);
}

static bool is_hugetlb(const struct maps_ctx *ctx, const struct proc_map *m, dev_t dev)
{
	/* memfds that aren't on tmpfs are made of huge pages. */
	if (str_after(m->name, "/anon_hugepage") ||
	    (str_after(m->name, "/memfd:") && dev != ctx->shm_dev))
		return true;
	vec_foreach (d, &ctx->hugetlb_devs)
		if (*d == dev)
			return true;
	return false;
}

/* Whose pages aren't memory, or aren't the program's. */
static bool is_special(const char *name)
{
	static const char *const prefixes[] = {
		"[vdso]", "[vvar",	"[vsyscall]", "[uprobes]", "anon_inode:",
		"/[aio]", "/secretmem", "socket:",    "/dmabuf:",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_after(name, prefixes[i]))
			return true;
	return str_after(name, "/dev/") && !str_after(name, "/dev/shm/") &&
	       !str_after(name, "/dev/zero");
}

static uint32_t prot_of(const char *perms)
{
	return (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
	       (perms[2] == 'x' ? PROT_EXEC : 0);
}

static void add_shared(const struct proc_map *p, pid_t pid, struct maps *m)
{
	vec_foreach (o, &m->shared)
		if (o->ino == p->ino)
			return;
	*vec_push(&m->shared) =
		(struct shared_object){.ino = p->ino, .start = p->start, .end = p->end, .pid = pid};
}

void maps_take(const struct maps_ctx *ctx, const char *line, pid_t pid, struct maps *m)
{
	struct proc_map p;
	dev_t dev;
	bool anon;

	if (proc_parse_map(line, &p) < 0 || p.start >= p.end || is_special(p.name))
		return;
	dev = makedev(p.dev_major, p.dev_minor);
	if (is_hugetlb(ctx, &p, dev))
		return;
	if (p.perms[3] == 's') {
		if (dev == ctx->shm_dev && !str_after(p.name, "/SYSV"))
			add_shared(&p, pid, m);
		return;
	}
	/* Something can change between two reads of the file. */
	if (m->vmas.len)
		p.start = MAX(p.start, m->vmas.data[m->vmas.len - 1].end);
	if (p.start >= p.end)
		return;
	anon = !p.ino;
	*vec_push(&m->vmas) = (struct vma){
		.start = p.start,
		.end = p.end,
		.pgoff = p.pgoff,
		.prot = prot_of(p.perms),
		.flags = MAP_PRIVATE | (anon ? MAP_ANONYMOUS : 0),
		.status = VMA_AREA_REGULAR | (anon ? VMA_ANON_PRIVATE : VMA_FILE_PRIVATE),
		.fdflags = -1,
		.ino = p.ino,
		.dev = dev,
	};
}

int maps_read(const struct maps_ctx *ctx, const struct target *t, struct maps *ret, struct err *err)
{
	auto_lines struct proc_lines l = PROC_LINES_INIT;
	char *line;
	int r = proc_lines_open(&l, t->proc, "maps");

	ret->vmas.len = 0;
	while (r >= 0 && (r = proc_lines_next(&l, &line)) > 0)
		maps_take(ctx, line, t->pid, ret);
	if (proc_is_gone(r))
		return err_gone(err, "pid %d (%s): died", t->pid, t->comm);
	return r < 0 ? err_sys(err, r, "pid %d (%s): reading maps", t->pid, t->comm) : 0;
}

void maps_done(struct maps *m)
{
	vec_done(&m->vmas);
	vec_done(&m->shared);
}
