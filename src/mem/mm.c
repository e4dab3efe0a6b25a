/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address space of one process as a description: mappings (smaps), guard pages (pagemap),
 * addresses that only prctl(PR_SET_MM) can change (stat), the auxiliary vector, and the three
 * things that only the process can say (brk, dumpable, THP).
 *
 * Not visible, hence lost: mlockall(MCL_FUTURE), MLOCK_ONFAULT (guessed at restore), names given
 * by PR_SET_VMA_ANON_NAME, mseal().
 */
#include "mem/dump.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "image/schema/mm.pb-c.h"
#include "kernel/proc.h"
#include "kernel/uapi/mman.h"
#include "mem/classify.h"
#include "mem/pagescan.h"
#include "mem/smaps.h"
#include "mem/vdso_mark.h"
#include "remote/batch.h"
#include "remote/scratch.h"

#include <inttypes.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static int in_proc(const struct target *t, int code, const char *file, struct err *err)
{
	if (proc_is_gone(code))
		return err_gone(err, "pid %d (%s): died", t->pid, t->comm);
	return err_sys(err, code, "pid %d (%s): reading %s", t->pid, t->comm, file);
}

/* --------------------------------------------------------------- mappings */

/* memfds live there. */
int classify_shm_dev(dev_t *ret, struct err *err)
{
	auto_close int fd = memfd_create("torpor", MFD_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "memfd_create");
	*ret = st.st_dev;
	return 0;
}

/* Private mappings of /dev/zero are anonymous memory with a name; no other device's are. */
static int check_device(const struct target *t, const struct vma *v, struct err *err)
{
	char link[256];
	struct stat st;
	int r;

	snprintf(link, sizeof(link), "map_files/%" PRIx64 "-%" PRIx64, v->start, v->end);
	r = fstatat(t->proc, link, &st, 0) < 0 ? -errno : 0;
	if (r == -EPERM || r == -EACCES) {
		/* Following these links takes a capability in the first user namespace. */
		snprintf(link, sizeof(link), "root%s", v->path);
		r = fstatat(t->proc, link, &st, 0) < 0 ? -errno : 0;
	}
	if (r < 0)
		return in_proc(t, r, link, err);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return 0;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5))
		return 0;
	return err_refuse(err, "let the program close the device before the dump",
			  "mapping %" PRIx64 "-%" PRIx64 " %s: device memory can't be carried over",
			  v->start, v->end, v->path);
}

/* Paths are moved out of the text of smaps, which is some ten times bigger. */
static char *keep_names(vma_vec *vmas)
{
	size_t len = 0;
	char *names, *to;

	vec_foreach (v, vmas)
		len += v->path ? strlen(v->path) + 1 : 0;
	to = names = xcalloc(1, len + 1);
	vec_foreach (v, vmas) {
		if (!v->path)
			continue;
		len = strlen(v->path) + 1;
		v->path = memcpy(to, v->path, len);
		to += len;
	}
	return names;
}

static int classify_text(const struct target *t, char *text, struct mem *m, struct err *err)
{
	struct classify_ctx ctx;
	index_vec devices = {0};
	smaps_vec entries = {0};
	int r = classify_shm_dev(&ctx.shm_dev, err);

	if (r == 0)
		r = smaps_parse(text, &entries, err);
	if (r == 0)
		r = classify_all(&ctx, &entries, &m->vmas, &devices, &m->allow_uprobes_seen, err);
	vec_foreach (i, &devices) {
		if (r == 0)
			r = check_device(t, &m->vmas.data[*i], err);
	}
	vec_done(&entries);
	vec_done(&devices);
	return r < 0 ? err_in(err, "pid %d (%s)", t->pid, t->comm) : 0;
}

static int collect_vmas(const struct target *t, struct mem *m, struct err *err)
{
	auto_free char *text = NULL;
	int r = io_read_file(t->proc, "smaps", &text, NULL);

	if (r < 0)
		return in_proc(t, r, "smaps", err);
	TRY(classify_text(t, text, m, err));
	m->names = keep_names(&m->vmas);
	return 0;
}

/* ----------------------------------------------------------- parked vDSO */

static struct vma *find_vma(struct mem *m, uint64_t start)
{
	vec_foreach (v, &m->vmas)
		if (v->start == start)
			return v;
	return NULL;
}

static void remove_vma(struct mem *m, struct vma *v)
{
	size_t i = (size_t)(v - m->vmas.data);

	memmove(v, v + 1, (--m->vmas.len - i) * sizeof(*v));
}

/*
 * A task that came from another kernel: the vDSO that it knows is what was plain memory, and the
 * kernel's own isn't part of the program.
 */
static int unpark_vdso(const struct target *t, struct mem *m, struct err *err)
{
	struct vma *vdso = NULL, *v;
	struct vdso_mark mark;

	vec_foreach (it, &m->vmas)
		if (vma_is(it, VMA_AREA_VDSO))
			vdso = it;
	if (!vdso)
		return 0;
	TRY(target_read(t, raddr(vdso->start), &mark, sizeof(mark), err));
	if (mark.signature != VDSO_MARK_SIGNATURE)
		return 0;
	v = find_vma(m, mark.orig_vdso);
	if (mark.version != VDSO_MARK_VERSION || !v || !vma_is(v, VMA_ANON_PRIVATE))
		return err_refuse(
			err, "restart the program",
			"pid %d (%s): its vDSO was replaced in an unknown way (version %" PRIu64
			")",
			t->pid, t->comm, mark.version);
	log_debug("pid %d: vDSO of another kernel at %" PRIx64 ", this kernel's at %" PRIx64,
		  t->pid, mark.orig_vdso, vdso->start);
	v->status |= VMA_AREA_VDSO;
	remove_vma(m, vdso);
	v = find_vma(m, mark.rt_vvar);
	if (v && vma_is(v, VMA_AREA_VVAR))
		remove_vma(m, v);
	v = find_vma(m, mark.orig_vvar);
	if (v && vma_is(v, VMA_ANON_PRIVATE))
		v->status |= VMA_AREA_VVAR;
	return 0;
}

/* ----------------------------------------------------------------- guards */

static void add_guard(vma_vec *vmas, uint64_t start, uint64_t end)
{
	struct vma *last = vmas->len ? &vmas->data[vmas->len - 1] : NULL;

	if (last && (last->status & VMA_AREA_GUARD) && last->end == start)
		last->end = end;
	else
		*vec_push(vmas) = (struct vma){
			.start = start, .end = end, .status = VMA_AREA_GUARD, .fdflags = -1};
}

/* Guards come behind all vmas (IMAGES.md 6.4). */
static int collect_guards(const struct target *t, struct mem *m, struct err *err)
{
	auto_free struct pagescan *s = xcalloc(1, sizeof(*s));
	vma_vec guards = {0};
	struct pagescan_region g;
	int r;

	TRY(pagescan_init(s, t, PAGESCAN_GUARDS, PAGESCAN_PLAIN, m->vmas.data, m->vmas.len, err));
	while ((r = pagescan_next(s, &g, err)) > 0)
		add_guard(&guards, g.start, g.end);
	pagescan_done(s);
	vec_foreach (v, &guards)
		*vec_push(&m->vmas) = *v;
	vec_done(&guards);
	return r;
}

/* ------------------------------------------------------------------- rest */

/* Words that every reader of the format has room for; the rest goes into a field of our own. */
#define AUXV_WORDS ((size_t)44)

static int collect_auxv(const struct target *t, struct mem *m, struct err *err)
{
	char *text = NULL;
	size_t len;
	int r = io_read_file(t->proc, "auxv", &text, &len);

	if (r < 0)
		return in_proc(t, r, "auxv", err);
	/*
	 * Without the closing AT_NULL pair: CRIU takes at most 44 words on x86-64, which is what
	 * is in there without it, and the kernel sets the last pair to zero anyway.
	 */
	m->auxv = xrealloc(text, len + 1, 1); /* smaller than what a file is read into */
	m->nauxv = len / sizeof(uint64_t) & ~UINT64_C(1);
	while (m->nauxv && !m->auxv[m->nauxv - 2] && !m->auxv[m->nauxv - 1])
		m->nauxv -= 2;
	return 0;
}

static int collect_stat(const struct target *t, struct mem *m, struct err *err)
{
	struct proc_stat st;
	int r = proc_read_stat(t->proc, "stat", &st);

	if (r < 0)
		return in_proc(t, r, "stat", err);
	m->start_code = st.start_code;
	m->end_code = st.end_code;
	m->start_data = st.start_data;
	m->end_data = st.end_data;
	m->start_stack = st.start_stack;
	m->start_brk = st.start_brk;
	m->arg_start = st.arg_start;
	m->arg_end = st.arg_end;
	m->env_start = st.env_start;
	m->env_end = st.env_end;
	return 0;
}

int mem_collect(const struct target *t, struct mem *ret, struct err *err)
{
	struct mem m = {.dumpable = 1};
	int r = collect_vmas(t, &m, err);

	if (r == 0)
		r = unpark_vdso(t, &m, err);
	if (r == 0)
		r = collect_guards(t, &m, err);
	if (r == 0)
		r = collect_stat(t, &m, err);
	if (r == 0)
		r = collect_auxv(t, &m, err);
	if (r < 0) {
		mem_done(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void mem_done(struct mem *m)
{
	vec_done(&m->vmas);
	free(m->names);
	free(m->auxv);
	m->names = NULL;
	m->auxv = NULL;
}

/* They are kept for the whole dump, of all tasks. */
static void shrink(vma_vec *vmas)
{
	if (!vmas->len)
		return;
	vmas->data = xrealloc(vmas->data, vmas->len, sizeof(*vmas->data));
	vmas->cap = vmas->len;
}

/* A kernel may have merged neighbours with it, so that it can be anywhere in a vma. */
void mem_forget_range(struct mem *m, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;
	vma_vec kept = {0};

	vec_foreach (v, &m->vmas) {
		struct vma low = *v, high = *v;

		low.end = MIN(v->end, start);
		high.start = MAX(v->start, end);
		if (high.start > v->start && vma_needs_file(v))
			high.pgoff += high.start - v->start;
		if (low.start < low.end)
			*vec_push(&kept) = low;
		if (high.start < high.end)
			*vec_push(&kept) = high;
	}
	vec_done(&m->vmas);
	m->vmas = kept;
	shrink(&m->vmas);
}

int mem_query(struct target *t, struct mem *m, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	size_t brk = batch_call(b, SYS_brk, 0);
	size_t dumpable = batch_call(b, SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	size_t thp = batch_call(b, SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);

	TRY(batch_run(b, err));
	TRY(batch_expect(b, brk, err));
	TRY(batch_expect(b, dumpable, err));
	m->brk = (uint64_t)batch_ret(b, brk);
	m->dumpable = (int)batch_ret(b, dumpable);
	m->thp_disabled = batch_ret(b, thp) > 0;
	mem_forget_range(m, t->scratch->base.va, SCRATCH_LEN);
	return 0;
}

/* ------------------------------------------------------------------ image */

static void vma_to_entry(const struct vma *v, VmaEntry *e)
{
	vma_entry__init(e);
	e->start = v->start;
	e->end = v->end;
	e->pgoff = v->pgoff;
	e->shmid = v->shmid;
	e->prot = v->prot;
	e->flags = v->flags;
	e->status = v->status;
	e->fd = -1;
	e->has_madv = v->madv != 0;
	e->madv = v->madv;
	e->has_fdflags = v->fdflags >= 0;
	e->fdflags = v->fdflags >= 0 ? (uint32_t)v->fdflags : 0;
}

int mem_write_mm(const struct img_dir *dir, const struct target *t, const struct mem *m,
		 struct err *err)
{
	size_t n = m->vmas.len;
	auto_free VmaEntry *entries = xcalloc(n, sizeof(*entries));
	auto_free VmaEntry **list = xcalloc(n, sizeof(*list));
	MmEntry mm = MM_ENTRY__INIT;

	for (size_t i = 0; i < n; i++) {
		vma_to_entry(&m->vmas.data[i], &entries[i]);
		list[i] = &entries[i];
	}
	mm.mm_start_code = m->start_code;
	mm.mm_end_code = m->end_code;
	mm.mm_start_data = m->start_data;
	mm.mm_end_data = m->end_data;
	mm.mm_start_stack = m->start_stack;
	mm.mm_start_brk = m->start_brk;
	mm.mm_brk = m->brk;
	mm.mm_arg_start = m->arg_start;
	mm.mm_arg_end = m->arg_end;
	mm.mm_env_start = m->env_start;
	mm.mm_env_end = m->env_end;
	mm.exe_file_id = m->exe_file_id;
	mm.n_mm_saved_auxv = MIN(m->nauxv, AUXV_WORDS);
	mm.mm_saved_auxv = m->auxv;
	mm.n_saved_auxv_tail = m->nauxv - mm.n_mm_saved_auxv;
	mm.saved_auxv_tail = m->auxv + mm.n_mm_saved_auxv;
	mm.n_vmas = n;
	mm.vmas = list;
	mm.has_dumpable = true;
	mm.dumpable = m->dumpable;
	mm.has_thp_disabled = true;
	mm.thp_disabled = m->thp_disabled;
	return img_write_one(dir, IMG_MM, (uint64_t)t->vpid, &mm.base, err);
}
