/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a checkpoint and their mappings. An image that is missing or broken costs its
 * process something, never the others: the picture says what can't be read, and why. Format facts:
 * ../shared/formats/IMAGES.md section 6.
 */
#include "base/auto.h"
#include "image/schema/memfd.pb-c.h"
#include "image/vma_status.h"
#include "inspect/map_model.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define ST_PLUGIN (1u << 27)

/* Pages of a pre-dump that are nearer to each other belong to one range. */
#define RANGE_GAP (UINT64_C(1) << 20)

struct collector {
	struct amap *am;
	struct torpor_checkpoint *cp;
	VEC(const MemfdInodeEntry *) memfds;
	struct map memfd_by_id; /* to places in `memfds` */
	struct amap_process *p; /* the one at work */
	struct err *err;
};

static void note_first(struct amap *am, const struct err *err)
{
	if (!am->first_error.code)
		am->first_error = *err;
}

void amap_note_error(struct amap *am, struct amap_process *p, const struct err *err)
{
	if (!p->error)
		p->error = arena_str(am->a, err->text);
	note_first(am, err);
}

/* ----------------------------------------------------------- what is mapped */

static int load_memfds(struct collector *c)
{
	auto_img_reader struct img_reader *r = NULL;
	MemfdInodeEntry *e;
	int got;

	TRY(img_open(&c->cp->dir, IMG_MEMFD, 0, &r, c->err));
	while ((got = img_get(r, c->cp->a, &e, c->err)) > 0) {
		map_put(&c->memfd_by_id, e->inode_id, c->memfds.len);
		*vec_push(&c->memfds) = e;
	}
	return got;
}

static const MemfdInodeEntry *find_memfd(const struct collector *c, uint64_t inode_id)
{
	size_t i = map_get(&c->memfd_by_id, inode_id);

	return i == MAP_NONE ? NULL : c->memfds.data[i];
}

static int bad(const struct collector *c, const VmaEntry *v, const char *what)
{
	return err_input(c->err, "mm-%u.img: mapping %" PRIx64 "-%" PRIx64 ": %s", c->p->pid,
			 v->start, v->end, what);
}

static int describe_memfd(const struct collector *c, const VmaEntry *v, const FileEntry *f,
			  struct amap_mapping *m)
{
	const MemfdInodeEntry *e = f->memfd ? find_memfd(c, f->memfd->inode_id) : NULL;

	if (!e)
		return bad(c, v, "shmid: its memfd isn't in memfd.img");
	if (strcmp(e->name, "/dev/zero") == 0)
		m->name = arena_printf(c->am->a, "[shm %" PRIu32 "]", e->shmid);
	else
		m->name = arena_printf(c->am->a, "memfd:%s", e->name);
	if (v->status & VMA_FILE_SHARED) {
		m->kind = AMAP_SHM;
		m->in_object = true;
		m->shmid = e->shmid;
	}
	return 0;
}

static int describe_file(const struct collector *c, const VmaEntry *v, struct amap_mapping *m)
{
	const FileEntry *f = NULL;

	m->kind = v->status & VMA_FILE_SHARED ? AMAP_FILE_SHARED : AMAP_FILE_PRIVATE;
	if (v->shmid <= UINT32_MAX)
		TRY(checkpoint_file(c->cp, (uint32_t)v->shmid, &f, c->err));
	if (!f)
		return bad(c, v, "shmid: no such file in files.img");
	if (v->status & VMA_AREA_MEMFD)
		return describe_memfd(c, v, f, m);
	m->name = f->reg ? f->reg->name : arena_printf(c->am->a, "[file %u]", f->id);
	return 0;
}

static void describe_shm(const struct collector *c, const VmaEntry *v, struct amap_mapping *m)
{
	m->kind = AMAP_SHM;
	m->in_object = true;
	m->shmid = v->shmid;
	m->name = arena_printf(
		c->am->a, v->status & VMA_AREA_SYSVIPC ? "[sysv %" PRIu64 "]" : "[shm %" PRIu64 "]",
		v->shmid);
}

static const struct {
	uint32_t status;
	enum amap_kind kind;
	const char *name;
} special[] = {
	{VMA_AREA_VDSO, AMAP_KERNEL, "[vdso]"},
	{VMA_AREA_VVAR, AMAP_KERNEL, "[vvar]"},
	{VMA_AREA_SHSTK, AMAP_STACK, "[shadow stack]"},
	{VMA_AREA_AIORING, AMAP_OTHER, "[aio]"},
	{VMA_AREA_SOCKET, AMAP_OTHER, "[packet socket]"},
	{ST_PLUGIN, AMAP_OTHER, "[device]"},
	{VMA_AREA_HEAP, AMAP_HEAP, "[heap]"},
};

static int describe(const struct collector *c, const MmEntry *mm, const VmaEntry *v,
		    struct amap_mapping *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		if (!(v->status & special[i].status))
			continue;
		m->kind = special[i].kind;
		m->name = special[i].name;
		return 0;
	}
	if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
		return describe_file(c, v, m);
	if (v->status & VMA_ANON_SHARED) {
		describe_shm(c, v, m);
		return 0;
	}
	if ((v->flags & MAP_GROWSDOWN) ||
	    (mm->mm_start_stack >= v->start && mm->mm_start_stack < v->end)) {
		m->kind = AMAP_STACK;
		m->name = "[stack]";
	}
	return 0;
}

/* ---------------------------------------------------------------- mappings */

static int check_range(const struct collector *c, const VmaEntry *v, uint64_t last)
{
	if (v->start % AMAP_PAGE || v->end % AMAP_PAGE || v->start >= v->end)
		return bad(c, v, "start, end: not a range of pages");
	if (v->pgoff % AMAP_PAGE || v->pgoff > INT64_MAX)
		return bad(c, v, "pgoff");
	return v->start < last ? bad(c, v, "start: not behind the mapping before") : 0;
}

/* The mapping that holds this address, or the first one behind it. */
static size_t find_mapping(const struct amap_process *p, uint64_t at)
{
	size_t lo = 0, hi = p->mappings.len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->mappings.data[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void add_guard(struct amap_process *p, const VmaEntry *v)
{
	for (size_t i = find_mapping(p, v->start); i < p->mappings.len; i++) {
		struct amap_mapping *m = &p->mappings.data[i];

		if (m->start >= v->end)
			break;
		m->guards += (MIN(v->end, m->end) - MAX(v->start, m->start)) / AMAP_PAGE;
	}
}

static int add_mapping(struct collector *c, const MmEntry *mm, const VmaEntry *v, uint64_t last)
{
	struct amap_mapping m = {
		.start = v->start,
		.end = v->end,
		.pgoff = v->pgoff,
		.kind = AMAP_ANON,
		.prot = v->prot,
		.shared = v->flags & MAP_SHARED,
		.name = "",
		.object = AMAP_NONE,
		.family = AMAP_NONE,
	};

	TRY(check_range(c, v, last));
	TRY(describe(c, mm, v, &m));
	*vec_push(&c->p->mappings) = m;
	return 0;
}

static int add_mappings(struct collector *c, const MmEntry *mm)
{
	uint64_t last = 0, last_guard = 0;

	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];

		if (v->status & VMA_AREA_GUARD) {
			TRY(check_range(c, v, last_guard));
			last_guard = v->end;
			add_guard(c->p, v);
		} else if (!(v->status & VMA_AREA_VSYSCALL)) {
			/* That page is the kernel's own, above all user space and in every process.
			 */
			TRY(add_mapping(c, mm, v, last));
			last = v->end;
		}
	}
	return 0;
}

static uint64_t stack_pointer(const CoreEntry *core)
{
	if (core->thread_info && core->thread_info->gpregs)
		return core->thread_info->gpregs->sp;
	if (core->ti_aarch64 && core->ti_aarch64->gpregs)
		return core->ti_aarch64->gpregs->sp;
	return 0;
}

/* Stacks of threads are anonymous memory like any other; that one runs there tells them apart. */
static int name_thread_stacks(struct collector *c, const PstreeEntry *e)
{
	struct amap_process *p = c->p;

	for (size_t i = 0; i < e->n_threads; i++) {
		struct arena *a;
		const CoreEntry *core;
		uint64_t sp = 0;
		size_t at;
		int r;

		if (e->threads[i] == p->pid)
			continue;
		a = arena_new();
		r = checkpoint_thread_core(c->cp, e->threads[i], a, &core, c->err);
		if (r == 0)
			sp = stack_pointer(core);
		arena_free(a);
		TRY(r);
		at = find_mapping(p, sp);
		if (at == p->mappings.len || p->mappings.data[at].start > sp ||
		    p->mappings.data[at].kind != AMAP_ANON)
			continue;
		p->mappings.data[at].kind = AMAP_STACK;
		p->mappings.data[at].name = arena_printf(c->am->a, "[stack %u]", e->threads[i]);
	}
	return 0;
}

/* --------------------------------------------------------------- processes */

static int read_process(struct collector *c, struct checkpoint_task *t)
{
	const CoreEntry *core;
	const MmEntry *mm;

	TRY(checkpoint_core(c->cp, t, &core, c->err));
	c->p->zombie = checkpoint_is_zombie(core);
	if (core->tc)
		c->p->comm = core->tc->comm;
	if (c->p->zombie)
		return 0;
	TRY(checkpoint_mm(c->cp, t, &mm, c->err));
	TRY(add_mappings(c, mm));
	return name_thread_stacks(c, t->e);
}

/* Of a pre-dump: pages that lie near each other become one mapping. */
static void add_range(void *arg, const struct page_origin *o)
{
	struct amap_process *p = arg;
	struct amap_mapping *last = p->mappings.len ? &p->mappings.data[p->mappings.len - 1] : NULL;
	uint64_t end = o->vaddr + o->npages * AMAP_PAGE;

	if (last && o->vaddr - last->end <= RANGE_GAP)
		last->end = end;
	else
		*vec_push(&p->mappings) = (struct amap_mapping){
			.start = o->vaddr,
			.end = end,
			.kind = AMAP_RANGE,
			.name = "",
			.object = AMAP_NONE,
			.family = AMAP_NONE,
		};
}

static void collect_process(struct collector *c, struct checkpoint_task *t)
{
	struct err err = ERR_INIT;
	int r = 0;

	*vec_push(&c->am->processes) = (struct amap_process){
		.pid = t->pid,
		.ppid = t->e ? t->e->ppid : 0,
		.depth = t->depth,
		.parent = t->parent,
		.comm = "",
		.nthreads = t->e ? t->e->n_threads : 0,
	};
	c->p = &c->am->processes.data[c->am->processes.len - 1];
	c->err = &err;
	if (!c->cp->pre_dump)
		r = read_process(c, t);
	else if (c->am->store)
		r = page_store_origins(c->am->store, IMG_PAGEMAP, t->pid, add_range, c->p, &err);
	if (r < 0)
		amap_note_error(c->am, c->p, &err);
}

/* ----------------------------------------------------------------- objects */

/* Two memfds can have one name; shmid is 0 for files. */
static int by_name(const void *a, const void *b)
{
	const struct amap_mapping *x = *(struct amap_mapping *const *)a;
	const struct amap_mapping *y = *(struct amap_mapping *const *)b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->shmid > y->shmid) - (x->shmid < y->shmid);
}

static bool is_of_object(const struct amap_mapping *m)
{
	return m->kind == AMAP_FILE_PRIVATE || m->kind == AMAP_FILE_SHARED || m->kind == AMAP_SHM;
}

/* Mappings of one file, or of one shared memory, get one object. */
static void find_objects(struct amap *am)
{
	VEC(struct amap_mapping *) all = {0};

	vec_foreach (p, &am->processes)
		vec_foreach (m, &p->mappings)
			if (is_of_object(m))
				*vec_push(&all) = m;
	if (all.len)
		qsort(all.data, all.len, sizeof(*all.data), by_name);
	for (size_t i = 0; i < all.len; i++) {
		struct amap_mapping *m = all.data[i];

		if (!i || by_name(&all.data[i - 1], &all.data[i]) != 0)
			*vec_push(&am->objects) = (struct amap_object){.name = m->name,
								       .kind = m->kind,
								       .in_object = m->in_object,
								       .shmid = m->shmid};
		m->object = am->objects.len - 1;
	}
	vec_done(&all);
}

/* -------------------------------------------------------------------- all */

/* The inventory is written last: its time is that of the dump's end. */
static void find_title(struct amap *am)
{
	auto_free char *path = realpath(am->cp->path, NULL);
	struct stat st;
	struct tm tm;

	am->title = arena_str(am->a, path ? path : am->cp->path);
	if (fstatat(am->cp->dir.fd, "inventory.img", &st, 0) == 0 &&
	    gmtime_r(&st.st_mtim.tv_sec, &tm))
		strftime(am->date, sizeof(am->date), "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static void open_store(struct amap *am)
{
	am->store_error = ERR_INIT;
	am->depth = 1;
	if (checkpoint_store(am->cp, &am->store, &am->store_error) == 0)
		am->depth = page_store_depth(am->store);
	else
		note_first(am, &am->store_error);
	am->nlevels = (unsigned int)MIN(am->depth, (size_t)AMAP_LEVELS);
}

static void sum_up(struct amap *am)
{
	vec_foreach (p, &am->processes) {
		am->nzombies += p->zombie;
		am->nmappings += p->mappings.len;
	}
}

void amap_collect(struct torpor_checkpoint *cp, struct amap *am)
{
	struct collector c = {.am = am, .cp = cp};
	struct err err = ERR_INIT;
	uint64_t done = 0;

	*am = (struct amap){.cp = cp, .a = arena_new(), .first_error = ERR_INIT};
	find_title(am);
	open_store(am);
	c.err = &err;
	if (load_memfds(&c) < 0)
		note_first(am, &err);
	vec_foreach (t, &cp->tasks) {
		context_progress(cp->ctx, "processes", done++, cp->tasks.len);
		collect_process(&c, t);
	}
	context_progress(cp->ctx, "processes", done, cp->tasks.len);
	find_objects(am);
	sum_up(am);
	vec_done(&c.memfds);
	map_done(&c.memfd_by_id);
}

void amap_done(struct amap *am)
{
	vec_foreach (p, &am->processes)
		vec_done(&p->mappings);
	vec_done(&am->processes);
	vec_done(&am->shared);
	vec_done(&am->objects);
	vec_done(&am->families);
	arena_free(am->a);
}
