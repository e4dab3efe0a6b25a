/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trackers on another process: attaching to it, and rounds of scans while it does all
 * that a program may do to its memory. The test keeps what an engine would keep: copies of the
 * pages that were called written. In the end (the process stands still) these copies are its
 * memory, to the byte; a page that was called clean by mistake would be an old copy.
 */
#include "base/auto.h"
#include "base/io.h"
#include "kernel/proc.h"
#include "mem/keeper.h"
#include "mem/pagescan.h"
#include "mem/track.h"
#include "remote/batch.h"
#include "remote/seize.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define PAGE   4096ul
#define NPAGES 2048ul
#define ARENA  ((char *)0x300000000000) /* where sanitizers have nothing either */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define RW (PROT_READ | PROT_WRITE)

/* Shared with the other process. */
struct control {
	atomic_int pause; /* 1: stand still, please */
	atomic_int paused;
	atomic_ulong ops;
};

static struct control *control;
static struct err err;
static enum tracker_kind kind;

/* -------------------------------------------------------- the other process */

static uint64_t rng = 88172645463325252u;

static size_t pick(size_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

static bool is_writable[NPAGES]; /* what may be written without a signal */

static void set_writable(size_t at, size_t n, bool yes)
{
	for (size_t i = at; i < at + n; i++)
		is_writable[i] = yes;
}

static void map_fresh(size_t at, size_t n)
{
	mmap(ARENA + at * PAGE, n * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	set_writable(at, n, true);
}

static void write_some(size_t at, size_t n)
{
	for (size_t i = at; i < at + n; i++)
		if (is_writable[i])
			*(volatile uint64_t *)(ARENA + i * PAGE + pick(PAGE / 8) * 8) = pick(~0ul);
}

static void fork_once(size_t at, size_t n)
{
	pid_t pid = fork();

	if (pid == 0) {
		write_some(at, n); /* its own */
		_exit(0);
	}
	write_some(at, n);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0)
		;
}

static void protect(size_t at, size_t n)
{
	static const int prots[] = {PROT_NONE, PROT_READ, RW};
	int prot = prots[pick(3)];

	if (mprotect(ARENA + at * PAGE, n * PAGE, prot) == 0)
		set_writable(at, n, prot == RW);
}

/* To anywhere, or from one page table to another: the kernel does these in different ways. */
static void move(size_t at, size_t n)
{
	size_t to = pick(NPAGES - n);
	bool moved[NPAGES];

	if (to + n > at && at + n > to)
		return;
	memcpy(moved, is_writable + at, n);
	if (mremap(ARENA + at * PAGE, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   ARENA + to * PAGE) != MAP_FAILED)
		memcpy(is_writable + to, moved, n);
	else
		map_fresh(to, n); /* may be unmapped by now */
	map_fresh(at, n);
}

static void move_table(void)
{
	size_t n = 512, from = pick(NPAGES / n) * n, to = pick(NPAGES / n) * n;

	if (from == to)
		return;
	if (mremap(ARENA + from * PAGE, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   ARENA + to * PAGE) != MAP_FAILED)
		memcpy(is_writable + to, is_writable + from, n);
	else
		map_fresh(to, n); /* may be unmapped by now */
	map_fresh(from, n);
}

static void one_op(int memfd)
{
	size_t n = 1 + pick(pick(10) ? 16 : 600), at = pick(NPAGES - n);

	switch (pick(16)) {
	case 0:
		map_fresh(at, n);
		break;
	case 1:
		mmap(ARENA + at * PAGE, n * PAGE, RW, MAP_PRIVATE | MAP_FIXED, memfd, 0);
		set_writable(at, n, true);
		break;
	case 2:
		madvise(ARENA + at * PAGE, n * PAGE, MADV_DONTNEED);
		break;
	case 3:
		madvise(ARENA + at * PAGE, n * PAGE, MADV_HUGEPAGE);
		break;
	case 4:
		protect(at, n);
		break;
	case 5:
		if (pick(3))
			move(at, n);
		else
			move_table();
		break;
	case 6:
		if (!pick(8))
			fork_once(at, n);
		break;
	case 7:
		madvise(ARENA + at * PAGE, n * PAGE, pick(2) ? MADV_COLLAPSE : MADV_FREE);
		break;
	default:
		write_some(at, n);
	}
}

static _Noreturn void be_busy(void)
{
	int memfd = memfd_create("zeroes", MFD_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ftruncate(memfd, NPAGES * PAGE) < 0)
		_exit(1);
	map_fresh(0, NPAGES);
	for (;;) {
		one_op(memfd);
		atomic_fetch_add(&control->ops, 1);
		while (atomic_load(&control->pause))
			atomic_store(&control->paused, 1);
		atomic_store(&control->paused, 0);
	}
}

/* ------------------------------------------------------------ the test's side */

static pid_t start(void (*fn)(void))
{
	pid_t pid;

	rng ^= (uint64_t)getpid() << 20;
	control = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(control, MAP_FAILED);
	pid = fork();
	if (pid == 0) {
		fn();
		_exit(1);
	}
	return pid;
}

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	munmap(control, PAGE);
}

static int attach(pid_t pid, struct tracker **ret)
{
	struct seize_opts opts = {.timeout_ms = 5000};
	struct target_tree tree = {0};
	struct err later = ERR_INIT;
	int r;

	err = ERR_INIT;
	assert_int_equal(tree_seize(pid, &opts, &tree, &err), 0);
	assert_int_equal(remote_enter(target_leader(tree.targets[0]), &err), 0);
	r = tracker_attach(tree.targets[0], kind, ret, &err);
	assert_int_equal(tree_release(&tree, TREE_RUN, &later), 0);
	return r;
}

static void read_vmas(int proc, vma_vec *ret)
{
	auto_lines struct proc_lines l = PROC_LINES_INIT;
	char *line;

	ret->len = 0;
	assert_int_equal(proc_lines_open(&l, proc, "maps"), 0);
	while (proc_lines_next(&l, &line) > 0) {
		struct proc_map m;

		assert_int_equal(proc_parse_map(line, &m), 0);
		if (m.start < (uintptr_t)ARENA || m.start >= (uintptr_t)ARENA + NPAGES * PAGE)
			continue;
		*vec_push(ret) = (struct vma){
			.start = m.start,
			.end = m.end,
			.prot = RW,
			.flags = MAP_PRIVATE,
			.status = VMA_AREA_REGULAR | (m.ino ? VMA_FILE_PRIVATE : VMA_ANON_PRIVATE),
		};
	}
}

struct model {
	struct target target;
	int mem;
	struct tracker *tracker;
	char (*pages)[PAGE];
	bool *has;
	unsigned long copied, clean;
	vma_vec vmas;
	struct pagescan scan;
};

static void take(struct model *m, uint64_t at, bool written)
{
	size_t i = (at - (uintptr_t)ARENA) / PAGE;

	if (!written && m->has[i]) {
		m->clean++;
		return;
	}
	m->copied++;
	m->has[i] = pread(m->mem, m->pages[i], PAGE, (off_t)at) == (ssize_t)PAGE;
}

/* One round over mappings of the same kind. still: nothing runs, and no round begins. */
static void scan(struct model *m, const struct vma *vmas, size_t n, enum track_state state,
		 bool still, bool *seen)
{
	enum pagescan_mode mode = state == TRACK_OFF ? PAGESCAN_PLAIN
						     : tracker_scan_mode(kind, !still);
	struct pagescan_region g;
	int r;

	r = pagescan_init(&m->scan, &m->target, PAGESCAN_DATA, mode, vmas, n, &err);
	assert_int_equal(r, 0);
	while ((r = pagescan_next(&m->scan, &g, &err)) > 0)
		for (uint64_t at = g.start; at < g.end; at += PAGE) {
			seen[(at - (uintptr_t)ARENA) / PAGE] = true;
			take(m, at, g.written || state != TRACK_ON);
		}
	assert_int_equal(r, 0);
	pagescan_done(&m->scan);
}

static void stand_still(bool yes)
{
	atomic_store(&control->pause, yes);
	for (int i = 0; atomic_load(&control->paused) != yes; i++) {
		if (i == 1000000)
			fail_msg("the other process doesn't answer");
		usleep(20);
	}
}

/* With soft-dirty the process has to stand still while a round begins. */
static void round_once(struct model *m, bool still, bool *seen)
{
	bool stop = kind == TRACKER_SOFT_DIRTY && !still;
	uint8_t states[NPAGES];

	if (stop)
		stand_still(true);

	read_vmas(m->target.proc, &m->vmas);
	assert_true(m->vmas.len <= NPAGES);
	assert_int_equal(tracker_arm(m->tracker, m->vmas.data, m->vmas.len, states, &err), 0);
	for (size_t i = 0, j; i < m->vmas.len; i = j) {
		for (j = i + 1; j < m->vmas.len && states[j] == states[i]; j++)
			;
		scan(m, &m->vmas.data[i], j - i, states[i], still, seen);
	}
	if (!still)
		assert_int_equal(tracker_restart(m->tracker, &err), 0);
	if (stop)
		stand_still(false);
}

static bool in_vma(const struct model *m, uint64_t at)
{
	vec_foreach (v, &m->vmas)
		if (at >= v->start && at < v->end)
			return true;
	return false;
}

static void compare(struct model *m, const bool *seen)
{
	static const char zero[PAGE];
	char now[PAGE];

	for (size_t i = 0; i < NPAGES; i++) {
		uint64_t at = (uintptr_t)ARENA + i * PAGE;

		if (!in_vma(m, at))
			continue;
		assert_int_equal(pread(m->mem, now, PAGE, (off_t)at), PAGE);
		if (memcmp(now, seen[i] ? m->pages[i] : zero, PAGE) != 0)
			fail_msg("page %zu: a wrong copy (%s)", i, seen[i] ? "data" : "hole");
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void test_random(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	const char *seconds = getenv("TRACK_SECONDS"); /* for a longer run by hand */
	pid_t pid = start(be_busy);
	char path[64];
	double end;
	int rounds = 0, checks = 0;

	assert_non_null(m);
	m->pages = calloc(NPAGES, PAGE);
	m->has = calloc(NPAGES, 1);
	assert_non_null(m->pages);
	assert_non_null(m->has);
	assert_int_equal(attach(pid, &m->tracker), 0);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	m->target = (struct target){.pid = pid, .proc = open(path, O_PATH | O_CLOEXEC)};
	m->mem = openat(m->target.proc, "mem", O_RDONLY | O_CLOEXEC);
	end = now() + (seconds ? atoi(seconds) : 2);
	while (now() < end || checks < 8) {
		bool seen[NPAGES] = {0};

		for (size_t i = pick(4); i > 0; i--, rounds++) {
			bool ignored[NPAGES] = {0};

			round_once(m, false, ignored);
		}
		stand_still(true);
		round_once(m, true, seen);
		compare(m, seen);
		/* What isn't there any more must not come back. */
		for (size_t i = 0; i < NPAGES; i++)
			m->has[i] &= seen[i];
		stand_still(false);
		checks++;
	}
	print_message("# %d rounds, %d comparisons, %lu operations; %lu pages copied, %lu clean\n",
		      rounds, checks, atomic_load(&control->ops), m->copied, m->clean);
	assert_true(kind == TRACKER_SOFT_DIRTY || m->clean > 1000);
	close(m->mem);
	close(m->target.proc);
	tracker_free(m->tracker);
	vec_done(&m->vmas);
	free(m->pages);
	free(m->has);
	free(m);
	finish(pid);
}

/* ----------------------------------------------------------------- attaching */

static size_t count_fds(pid_t pid)
{
	auto_ids struct proc_ids ids = {0};
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	assert_int_equal(proc_list_dir(AT_FDCWD, path, &ids), 0);
	return ids.len;
}

static _Noreturn void be_lazy(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map_fresh(0, 16);
	atomic_store(&control->paused, 1);
	for (;;) {
		write_some(0, 1);
		usleep(1000);
	}
}

static void allow_all_but_one(void)
{
	/* Whatever the program itself may never call. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(code), code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		_exit(1);
}

static void be_filtered(void)
{
	allow_all_but_one();
	be_lazy();
}

static void be_full(void)
{
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64});
	while (open("/dev/null", O_RDONLY) >= 0)
		;
	be_lazy();
}

static void be_another(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	atomic_store(&control->paused, 1);
	while (!atomic_load(&control->pause))
		usleep(100);
	execl("/proc/self/exe", "test_track_live", "sleep", NULL);
	_exit(1);
}

static void wait_until_ready(void)
{
	while (!atomic_load(&control->paused))
		usleep(100);
}

static void attach_to(void (*fn)(void))
{
	pid_t pid = start(fn);
	struct tracker *tr;
	struct vma v = {.start = (uintptr_t)ARENA,
			.end = (uintptr_t)ARENA + 16 * PAGE,
			.prot = RW,
			.flags = MAP_PRIVATE,
			.status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE};
	uint8_t st;
	size_t fds;

	wait_until_ready();
	fds = count_fds(pid);
	assert_int_equal(attach(pid, &tr), 0);
	assert_int_equal(tr->pid, pid);
	assert_true(tr->is_new);
	assert_true(tr->fd >= 3);
	assert_true(fcntl(tr->fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(count_fds(pid), fds);
	assert_false(tracker_is_stale(tr));
	assert_int_equal(tracker_arm(tr, &v, 1, &st, &err), 0);
	assert_int_equal(st, TRACK_NEW);
	assert_int_equal(tracker_arm(tr, &v, 1, &st, &err), 0);
	assert_int_equal(st, TRACK_ON);
	tracker_free(tr);
	usleep(5000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	finish(pid);
}

static void test_attach(void **state)
{
	attach_to(be_lazy);
}

static void test_attach_filtered(void **state)
{
	attach_to(be_filtered);
}

static void test_attach_full(void **state)
{
	pid_t pid = start(be_full);
	struct tracker *tr = NULL;
	size_t fds;

	wait_until_ready();
	fds = count_fds(pid);
	assert_int_equal(attach(pid, &tr), -EMFILE);
	assert_null(tr);
	assert_int_equal(count_fds(pid), fds);
	usleep(5000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	finish(pid);
}

/* After execve() there is nothing left to track, and nothing is mistaken for it. */
static void test_exec(void **state)
{
	pid_t pid = start(be_another);
	struct keeper k = {.kind = kind};
	struct target t = {.pid = pid};
	struct tracker *tr;
	struct proc_stat st;
	uint8_t armed;
	struct vma stack;
	char path[64];

	wait_until_ready();
	snprintf(path, sizeof(path), "/proc/%d", pid);
	t.proc = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(attach(pid, &tr), 0);
	*vec_push(&k.trackers) = tr;
	assert_ptr_equal(keeper_tracker(&k, &t), tr);
	atomic_store(&control->pause, 1);
	do {
		assert_int_equal(proc_read_stat(t.proc, "stat", &st), 0);
	} while (!tracker_is_stale(tr));
	assert_null(keeper_tracker(&k, &t));
	stack = (struct vma){.start = st.start_stack / PAGE * PAGE,
			     .end = st.start_stack / PAGE * PAGE + PAGE,
			     .flags = MAP_PRIVATE,
			     .status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE};
	assert_int_equal(tracker_arm(tr, &stack, 1, &armed, &err), 0);
	assert_int_equal(armed, TRACK_OFF);
	close(t.proc);
	keeper_done(&k);
	finish(pid);
}

static int needs(enum tracker_kind k)
{
	kind = k;
	return 0;
}

static int needs_uffd(void **state)
{
	return needs(TRACKER_UFFD_WP);
}

static int needs_soft(void **state)
{
	return needs(TRACKER_SOFT_DIRTY);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup(test_attach, needs_uffd),
		cmocka_unit_test_setup(test_attach_filtered, needs_uffd),
		cmocka_unit_test_setup(test_attach_full, needs_uffd),
		cmocka_unit_test_setup(test_exec, needs_uffd),
		cmocka_unit_test_setup(test_random, needs_uffd),
		cmocka_unit_test_setup(test_random, needs_soft),
	};

	struct CMUnitTest tests[ARRAY_SIZE(all)];
	bool uffd = tracker_works(TRACKER_UFFD_WP), soft = tracker_works(TRACKER_SOFT_DIRTY);
	size_t n = 0;

	if (argc == 2 && !strcmp(argv[1], "sleep")) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].setup_func == needs_uffd ? uffd : soft)
			tests[n++] = all[i];
	if (!uffd || !soft)
		print_message("# not on this kernel:%s%s\n", uffd ? "" : " uffd-wp",
			      soft ? "" : " soft-dirty");
	return _cmocka_run_group_tests("track_live", tests, n, NULL, NULL);
}
