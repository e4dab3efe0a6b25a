/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory engine on its own: freezes a tree, dumps its memory into a directory, builds a copy
 * of every task from it, and compares all pages, mappings and the sum of PSS. Then both go.
 *
 *	mem_drill PID DIR [--forge-vdso] [--keep] [--direct]
 *
 * --direct: pages are written past the page cache wherever that is possible, with their checksums.
 *
 * Files are opened again by the names that /proc/PID/map_files shows; shared memory objects are
 * dumped and made again.
 */
#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/inventory.h"
#include "image/sums.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "mem/dump.h"
#include "mem/restore.h"
#include "mem/shmem.h"
#include "remote/batch.h"
#include "remote/build.h"
#include "remote/seize.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define PAGE UINT64_C(4096)

struct file {
	dev_t dev;
	uint64_t ino;
	bool shm;
	int fd;	      /* of the original */
	int again[3]; /* made again, by O_ACCMODE; shared memory: [O_RDWR] */
	uint64_t size;
};

struct drill {
	struct img_dir dir;
	struct target_tree tree;
	struct mem *mems;
	struct rmem **rmems;
	struct target **copies;
	struct mem_stats dumped;
	struct rmem_stats restored;
	VEC(struct file) files; /* file id = index + 1 */
	struct build *build;
	struct page_store *store;
	struct pool *pool;
	struct mem_common *common;
	struct arena *arena;
	bool forge_vdso, direct;
	int differences;
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* Of torpor's side alone; the machine may be busy. */
static double cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* ------------------------------------------------------------------ files */

static int file_of(struct drill *d, const struct target *t, struct vma *v, struct err *err)
{
	char link[64];
	struct stat st;
	struct file f = {.dev = v->dev,
			 .ino = v->ino,
			 .shm = v->status & VMA_AREA_MEMFD,
			 .again = {-1, -1, -1}};

	snprintf(link, sizeof(link), "map_files/%" PRIx64 "-%" PRIx64, v->start, v->end);
	if (fstatat(t->proc, link, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "%s", link);
	v->fdflags = st.st_mode & 0200 ? (st.st_mode & 0400 ? O_RDWR : O_WRONLY) : O_RDONLY;
	for (size_t i = 0; i < d->files.len; i++)
		if (d->files.data[i].dev == v->dev && d->files.data[i].ino == v->ino) {
			v->shmid = i + 1;
			return 0;
		}
	f.fd = openat(t->proc, link, O_RDONLY | O_CLOEXEC);
	if (f.fd < 0 || fstat(f.fd, &st) < 0)
		return err_sys(err, -errno, "open %s", link);
	f.size = (uint64_t)st.st_size;
	*vec_push(&d->files) = f;
	v->shmid = d->files.len;
	return 0;
}

static int open_again(void *ctx, uint32_t id, uint32_t fdflags, struct err *err)
{
	struct drill *d = ctx;
	struct file *f = &d->files.data[id - 1];
	int *fd = &f->again[f->shm ? O_RDWR : fdflags];
	char link[64];

	if (*fd >= 0)
		return *fd;
	if (f->shm) {
		*fd = shmem_create_anon(f->size, 0, err);
		TRY(*fd);
		TRY(shmem_fill(d->store, *fd, f->ino, f->size, err));
		return *fd;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", f->fd);
	*fd = open(link, (int)fdflags | O_CLOEXEC);
	return *fd < 0 ? err_sys(err, -errno, "open file %u again", id) : *fd;
}

static int exe_of(struct drill *d, const struct target *t, uint32_t *ret, struct err *err)
{
	struct file f = {.again = {-1, -1, -1}};

	f.fd = openat(t->proc, "exe", O_RDONLY | O_CLOEXEC);
	if (f.fd < 0)
		return err_sys(err, -errno, "open exe");
	*vec_push(&d->files) = f;
	*ret = (uint32_t)d->files.len;
	return 0;
}

/* ------------------------------------------------------------------- dump */

static int dump_one(struct drill *d, struct target *t, struct mem *m, struct err *err)
{
	const struct mem_dump_opts opts = {.dir = &d->dir, .direct_always = d->direct};
	struct mem_task task = {.target = t, .mem = m};
	bool cow;

	TRY(mem_collect(t, m, err));
	vec_foreach (v, &m->vmas) {
		if (vma_needs_file(v))
			TRY(file_of(d, t, v, err));
	}
	TRY(exe_of(d, t, &m->exe_file_id, err));
	TRY(remote_enter(target_leader(t), err));
	TRY(mem_query(t, m, err));
	TRY(mem_write_mm(&d->dir, t, m, err));
	return mem_write_tree(&opts, &task, 1, &d->dumped, &cow, err);
}

static int dump(struct drill *d, struct err *err)
{
	double start = now_ms(), cpu = cpu_ms();

	for (size_t i = 0; i < d->tree.n; i++)
		TRY(dump_one(d, d->tree.targets[i], &d->mems[i], err));
	vec_foreach (f, &d->files) {
		if (f->shm)
			TRY(shmem_dump(&d->dir, f->fd, f->ino, f->size, NULL, &d->dumped, err));
	}
	printf("dumped %" PRIu64 " + %" PRIu64
	       " pages of %zu tasks in %.2f ms (cpu %.2f, pages %.2f)\n",
	       d->dumped.pages_written, d->dumped.shpages_written, d->tree.n, now_ms() - start,
	       cpu_ms() - cpu, (double)d->dumped.write_us / 1000);
	return 0;
}

/* ------------------------------------------------------------------ build */

/* One byte of padding in the vDSO is another kernel's vDSO. */
static void forge(struct drill *d, struct rmem *m)
{
	for (size_t i = 0; d->forge_vdso && i < m->nreal; i++) {
		const struct vma *v = &m->vmas.data[i];
		struct page_map *p = arena_new_of(d->arena, struct page_map);
		struct page_piece *piece;
		uint8_t *at;

		if (!vma_is(v, VMA_AREA_VDSO))
			continue;
		*p = *m->pages;
		p->pieces = arena_array_of(d->arena, struct page_piece, p->n);
		memcpy(p->pieces, m->pages->pieces, p->n * sizeof(*p->pieces));
		piece = &p->pieces[page_map_find(p, v->start)];
		at = arena_array_of(d->arena, uint8_t, piece->npages * PAGE);
		memcpy(at, piece->src, piece->npages * PAGE);
		at[v->start - piece->vaddr + 9] ^= 0x55; /* padding in e_ident */
		piece->src = at;
		m->pages = p;
	}
}

static int index_of_parent(const struct drill *d, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (d->tree.targets[k]->pid == d->tree.targets[i]->ppid)
			return (int)k;
	return -1;
}

/* An id that nobody has, and is not to get soon. */
static pid_t free_pid(void)
{
	pid_t pid = getpid() > 16000 ? 8000 : 24000;

	while (kill(pid, 0) == 0 || errno != ESRCH)
		pid++;
	return pid;
}

static int build_all(struct drill *d, struct err *err)
{
	struct build_opts opts = {.scratch_len = BUILD_SCRATCH_LEN, .mailbox = 1000};
	struct mem_opener opener = {.ctx = d, .common = d->common, .open = open_again};
	double start = now_ms(), cpu = cpu_ms(), cloned = 0;
	auto_free int *base = xcalloc(d->tree.n, sizeof(*base));
	uint64_t hole;

	for (size_t i = 0; i < d->tree.n; i++)
		base[i] = index_of_parent(d, i);
	rmem_share(d->rmems, base, d->tree.n);
	TRY(rmem_find_hole(d->rmems, d->tree.n, opts.scratch_len, &hole, err));
	opts.scratch = raddr(hole);
	TRY(build_new(&opts, &d->build, err));
	for (size_t i = 0; i < d->tree.n; i++) {
		int p = index_of_parent(d, i);
		double t0 = now_ms();

		if (p < 0)
			TRY(build_root(d->build, 0, free_pid(), &d->copies[i], err));
		else
			TRY(build_child(d->build, d->copies[p], 0, free_pid(), &d->copies[i], err));
		cloned += now_ms() - t0;
		TRY(rmem_build(d->copies[i], d->rmems[i], p < 0 ? NULL : d->rmems[p], &opener,
			       &d->restored, err));
	}
	for (size_t i = 0; i < d->tree.n; i++) {
		TRY(rmem_finish(d->copies[i], d->rmems[i], &opener, err));
		TRY(rmem_finish_late(d->copies[i], d->rmems[i], err));
	}
	printf("built in %.2f ms (cpu %.2f, cloning %.2f): %" PRIu64 " pages restored, %" PRIu64
	       " compared, %" PRIu64 " shared\n",
	       now_ms() - start, cpu_ms() - cpu, cloned, d->restored.pages_restored,
	       d->restored.pages_compared, d->restored.pages_skipped_cow);
	return 0;
}

/* ---------------------------------------------------------------- compare */

static void differ(struct drill *d, const struct target *t, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void differ(struct drill *d, const struct target *t, const char *fmt, ...)
{
	va_list ap;

	if (d->differences++ > 40)
		return;
	printf("DIFFERENT pid %d (%s): ", t->pid, t->comm);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* Header lines and VmFlags of smaps, without the agent's area and inode numbers of shm objects. */
static char *shape(const struct target *t, uint64_t skip, uint64_t skip_len)
{
	char *text, *out, *to;
	bool skipping = false;

	if (io_read_file(t->proc, "smaps", &text, NULL) < 0)
		return xstrdup("");
	to = out = xcalloc(1, strlen(text) + 1);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *p = line;
		uint64_t start;

		if (*line >= 'a' || *line <= '9') {
			skipping = scan_u64(&p, 16, &start) && start >= skip &&
				   start < skip + skip_len;
			if (strstr(line, "(deleted)"))
				line[40] = '\0';
			if (strstr(line, "[vsyscall]"))
				skipping = true;
			if (!skipping)
				to += sprintf(to, "%s\n", line);
		} else if (str_after(line, "VmFlags") && !skipping) {
			to += sprintf(to, "%s\n", line);
		}
	}
	free(text);
	return out;
}

static void compare_shapes(struct drill *d, size_t i, uint64_t scratch)
{
	auto_free char *a = shape(d->tree.targets[i], 0, 0);
	auto_free char *b = shape(d->copies[i], scratch, BUILD_SCRATCH_LEN);
	char *pa = a, *pb = b;

	while (*pa || *pb) {
		char *na = strchrnul(pa, '\n'), *nb = strchrnul(pb, '\n');

		if (na - pa != nb - pb || memcmp(pa, pb, (size_t)(na - pa)) != 0) {
			differ(d, d->tree.targets[i], "mappings\n\t%.*s\n\t%.*s", (int)(na - pa),
			       pa, (int)(nb - pb), pb);
			if (*pa >= '0' && strncmp(pa, pb, 12) != 0)
				break;
		}
		pa = *na ? na + 1 : na;
		pb = *nb ? nb + 1 : nb;
	}
}

/* Unused stack, which the agent uses when it comes and goes. */
static bool is_agents(const struct rmem *m, const struct vma *v, uint64_t va)
{
	size_t i = page_map_find(m->pages, va);

	return v->flags & MAP_GROWSDOWN && (i == m->pages->n || m->pages->pieces[i].vaddr > va);
}

#define RSEQ_LEN 32

/* The kernel writes into a registered area (the number of the CPU) whenever the thread runs. */
static void forget_rseq(const struct target *t, uint64_t va, uint8_t *a, uint8_t *b)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		struct ptrace_rseq_configuration conf = {0};

		if (sys_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, t->threads[i]->tid, sizeof(conf),
			       (uint64_t)(uintptr_t)&conf) < 0 ||
		    conf.rseq_abi_pointer - va > PAGE - RSEQ_LEN)
			continue;
		memset(a + (conf.rseq_abi_pointer - va), 0, RSEQ_LEN);
		memset(b + (conf.rseq_abi_pointer - va), 0, RSEQ_LEN);
	}
}

static void compare_page(struct drill *d, size_t i, const struct vma *v, uint64_t va)
{
	const struct target *t = d->tree.targets[i];
	static uint8_t a[PAGE], b[PAGE];
	struct err e1 = ERR_INIT, e2 = ERR_INIT;
	int r1 = target_peek(t, raddr(va), a, PAGE, &e1);
	int r2 = target_peek(d->copies[i], raddr(va), b, PAGE, &e2);

	if ((r1 < 0) != (r2 < 0))
		differ(d, t, "%" PRIx64 ": readable %d, copy %d", va, r1, r2);
	if (r1 < 0 || r2 < 0 || memcmp(a, b, PAGE) == 0 || is_agents(d->rmems[i], v, va))
		return;
	forget_rseq(t, va, a, b);
	if (memcmp(a, b, PAGE) != 0)
		differ(d, t, "page %" PRIx64, va);
}

static void compare_vma(struct drill *d, size_t i, const struct vma *v)
{
	for (uint64_t va = v->start; va < v->end; va += PAGE)
		compare_page(d, i, v, va);
}

static uint64_t pss_kib(const struct target *t)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t kib = 0;

	if (io_read_file(t->proc, "smaps_rollup", &text, NULL) < 0)
		return 0;
	p = strstr(text, "\nPss_Anon:");
	if (p)
		p += strlen("\nPss_Anon:");
	return p && scan_u64(&p, 10, &kib) ? kib : 0;
}

static void compare(struct drill *d)
{
	uint64_t before = 0, after = 0, hole = 0;
	struct err err = ERR_INIT;

	if (rmem_find_hole(d->rmems, d->tree.n, BUILD_SCRATCH_LEN, &hole, &err) < 0)
		return;
	for (size_t i = 0; i < d->tree.n; i++) {
		before += pss_kib(d->tree.targets[i]);
		after += pss_kib(d->copies[i]);
	}
	/* Peeking brings pages in, so it comes behind. */
	for (size_t i = 0; i < d->tree.n; i++) {
		compare_shapes(d, i, hole);
		vec_foreach (v, &d->mems[i].vmas) {
			bool droppable = (v->flags & MAP_TYPE) == 8;

			if (!(v->status & (VMA_AREA_VVAR | VMA_AREA_VSYSCALL | VMA_AREA_GUARD)) &&
			    !droppable)
				compare_vma(d, i, v);
		}
	}
	printf("anonymous PSS of the tree: %" PRIu64 " KiB before, %" PRIu64 " KiB after\n", before,
	       after);
	if (after > before + before / 50 + 32 * d->tree.n ||
	    before > after + after / 50 + 32 * d->tree.n)
		differ(d, d->tree.targets[0], "PSS");
}

/* ------------------------------------------------------------------- main */

/* The sums that were made while dumping are read again. */
static int sums_turn(struct drill *d, struct err *err)
{
	if (!d->direct)
		return 0;
	printf("%" PRIu64 " bytes of pages past the page cache\n", d->dumped.direct_bytes);
	TRY(img_sums_write(&d->dir, err));
	img_sums_free(d->dir.sums);
	d->dir.sums = img_sums_new();
	return img_sums_read(&d->dir, err);
}

static int drill(struct drill *d, pid_t pid, struct err *err)
{
	const struct seize_opts opts = {.timeout_ms = 5000};
	const struct inventory_chain chain = {.run_id = ""};
	double start = now_ms();

	TRY(tree_seize(pid, &opts, &d->tree, err));
	printf("seized %zu tasks in %.2f ms\n", d->tree.n, now_ms() - start);
	d->mems = xcalloc(d->tree.n, sizeof(*d->mems));
	d->rmems = xcalloc(d->tree.n, sizeof(*d->rmems));
	d->copies = xcalloc(d->tree.n, sizeof(*d->copies));
	TRY(dump(d, err));
	TRY(inventory_write_pre_dump(&d->dir, &chain, err));
	TRY(sums_turn(d, err));
	TRY(page_store_open(&d->dir, &d->store, err));
	d->pool = pool_new(/* nthreads= */ 0);
	TRY(mem_common_new(d->store, d->pool, &d->common, err));
	for (size_t i = 0; i < d->tree.n; i++) {
		TRY(rmem_load(&d->dir, d->store, (uint32_t)d->tree.targets[i]->vpid, d->arena,
			      &d->rmems[i], err));
		forge(d, d->rmems[i]);
	}
	if (d->direct)
		TRY(page_store_verify(d->store, d->pool, err));
	for (size_t i = 0; i < d->tree.n; i++)
		TRY(remote_leave_all(d->tree.targets[i], err));
	TRY(build_all(d, err));
	compare(d);
	return 0;
}

int main(int argc, char **argv)
{
	struct drill d = {.dumped = {.next_pages_id = 1}, .arena = arena_new()};
	struct err err = ERR_INIT, late = ERR_INIT;
	bool keep = false;
	int pid;

	log_init(getenv("DRILL_VERBOSE") ? LOG_DEBUG : LOG_INFO);
	if (argc < 3 || parse_pid(argv[1], &pid) < 0)
		return 2;
	for (int i = 3; i < argc; i++) {
		d.forge_vdso |= !strcmp(argv[i], "--forge-vdso");
		keep |= !strcmp(argv[i], "--keep");
		d.direct |= !strcmp(argv[i], "--direct");
	}
	(void)mkdir(argv[2], 0700);
	d.dir.path = argv[2];
	d.dir.sums = d.direct ? img_sums_new() : NULL;
	d.dir.fd = d.dir.work_fd = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (drill(&d, pid, &err) < 0)
		printf("FAILED: %s%s%s\n", err.text, err.hint[0] ? ": " : "", err.hint);
	for (size_t i = 0; d.copies && i < d.tree.n; i++)
		if (d.copies[d.tree.n - 1 - i])
			build_kill(d.copies[d.tree.n - 1 - i]);
	if (tree_release(&d.tree, keep ? TREE_RUN : TREE_KILL, &late) < 0)
		printf("FAILED: %s\n", late.text);
	printf("%d differences\n", d.differences);
	return err.code || late.code || d.differences ? 1 : 0;
}
