/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trackers, on memory of the test itself. In each case it is known which pages were written
 * since the last round: none of those may be called clean. Where it is known that a page wasn't
 * written, and nothing happened to its mapping, it has to be called clean: a tracker that calls
 * everything written would be right, too, but useless.
 */
#include "base/auto.h"
#include "kernel/proc.h"
#include "kernel/uapi/pagemap.h"
#include "kernel/uapi/userfaultfd.h"
#include "mem/pagescan.h"
#include "mem/track.h"

#include "../lib/zero_page.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cmocka.h>

#define PAGE   4096ul
#define NPAGES 16ul
#define RW     (PROT_READ | PROT_WRITE)

/* What a scan says of a page. */
enum seen { NOTHING = 0, CLEAN, WRITTEN };

struct round {
	uint8_t state; /* TRACK_* of the whole mapping */
	enum seen pages[NPAGES];
	bool huge[NPAGES];
};

static struct target self;
static struct tracker *tracker;
static enum tracker_kind kind; /* each test is run with both */

/* As tracker_attach() does, without a target: this process makes the descriptor itself. */
static struct tracker *own_tracker(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED};
	struct tracker *tr = calloc(1, sizeof(*tr));

	assert_non_null(tr);
	*tr = (struct tracker){.kind = kind, .pid = getpid(), .fd = -EBADF, .is_new = true};
	if (kind == TRACKER_SOFT_DIRTY) {
		tr->fd = memfd_create("notes", MFD_CLOEXEC);
		return tr;
	}
	tr->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	assert_true(tr->fd >= 0);
	assert_int_equal(ioctl(tr->fd, UFFDIO_API, &api), 0);
	return tr;
}

static int setup(enum tracker_kind k)
{
	kind = k;
	self = (struct target){.pid = getpid(), .proc = open("/proc/self", O_PATH | O_CLOEXEC)};
	tracker = NULL;
	tracker = own_tracker();
	return 0;
}

static int setup_uffd(void **state)
{
	return setup(TRACKER_UFFD_WP);
}

static int setup_soft(void **state)
{
	return setup(TRACKER_SOFT_DIRTY);
}

static int teardown(void **state)
{
	tracker_free(tracker);
	close(self.proc);
	return 0;
}

static struct vma vma_of(const volatile void *p, size_t npages, uint32_t status)
{
	return (struct vma){
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + npages * PAGE,
		.prot = RW,
		.flags = MAP_PRIVATE,
		.status = VMA_AREA_REGULAR | status,
	};
}

static void scan(struct round *r, const struct vma *v, enum pagescan_mode mode)
{
	struct pagescan *s = calloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	struct pagescan_region g;
	int n;

	assert_non_null(s);
	assert_int_equal(pagescan_init(s, &self, PAGESCAN_DATA, mode, v, 1, &err), 0);
	while ((n = pagescan_next(s, &g, &err)) > 0) {
		assert_true(g.start >= v->start && g.end <= v->end && g.start < g.end);
		for (uint64_t at = g.start; at < g.end; at += PAGE) {
			size_t i = (at - v->start) / PAGE;

			if (i >= NPAGES)
				break;
			r->pages[i] = g.written ? WRITTEN : CLEAN;
			r->huge[i] = g.huge;
		}
	}
	assert_int_equal(n, 0);
	pagescan_done(s);
	free(s);
}

/* Arms and looks. */
static struct round peek(const volatile void *p, size_t npages, uint32_t status)
{
	struct vma v = vma_of(p, npages, status);
	struct round r = {0};
	struct err err = ERR_INIT;

	assert_int_equal(tracker_arm(tracker, &v, 1, &r.state, &err), 0);
	scan(&r, &v, tracker_scan_mode(kind, false));
	return r;
}

/* A round as an engine does it. With soft-dirty, one for the whole process. */
static struct round look(const volatile void *p, size_t npages, uint32_t status)
{
	struct vma v = vma_of(p, npages, status);
	struct round r = peek(p, npages, status), again = {.state = r.state};
	struct err err = ERR_INIT;

	if (r.state == TRACK_OFF)
		return r;
	scan(&again, &v, tracker_scan_mode(kind, true));
	assert_memory_equal(r.pages, again.pages, sizeof(r.pages));
	assert_int_equal(tracker_restart(tracker, &err), 0);
	return r;
}

static char *map_anon(size_t npages)
{
	char *p = mmap(NULL, npages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void write_pages(volatile char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		p[i * PAGE]++;
}

#define assert_pages(r, from, to, want)                                                            \
	do {                                                                                       \
		for (size_t i_ = (from); i_ < (to); i_++)                                          \
			assert_int_equal((r).pages[i_], (want));                                   \
	} while (0)

/* Soft-dirty marks whole mappings, where they are merged, and whole huge pages. */
#define assert_precise(r, from, to)                                                                \
	do {                                                                                       \
		if (kind == TRACKER_UFFD_WP)                                                       \
			assert_pages((r), (from), (to), CLEAN);                                    \
	} while (0)

static void assert_new(const struct round *r)
{
	if (kind == TRACKER_UFFD_WP)
		assert_int_equal(r->state, TRACK_NEW);
}

static void test_write(void **state)
{
	char *p = map_anon(NPAGES);
	struct round r;

	write_pages(p, 0, 8);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(r.state, TRACK_NEW);
	assert_pages(r, 0, 8, WRITTEN);
	assert_pages(r, 8, NPAGES, NOTHING);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(r.state, TRACK_ON);
	assert_pages(r, 0, 8, CLEAN);
	write_pages(p, 3, 5);
	write_pages(p, 12, 13);
	(void)*(volatile char *)p;
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_pages(r, 0, 3, CLEAN);
	assert_pages(r, 3, 5, WRITTEN);
	assert_pages(r, 5, 8, CLEAN);
	assert_pages(r, 8, 12, NOTHING);
	assert_pages(r, 12, 13, WRITTEN);
	munmap(p, NPAGES * PAGE);
}

/* A page that vanished isn't found; one that came back has been written. */
static void test_dontneed(void **state)
{
	char *p = map_anon(NPAGES);
	struct round r;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	madvise(p, 8 * PAGE, MADV_DONTNEED);
	write_pages(p, 4, 5);
	(void)*(volatile char *)p; /* the zero page */
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	if (kernel_has_zero_page())
		assert_pages(r, 0, 1, NOTHING);
	assert_pages(r, 1, 4, NOTHING);
	assert_pages(r, 4, 5, WRITTEN);
	assert_pages(r, 5, 8, NOTHING);
	assert_pages(r, 8, NPAGES, CLEAN);
	munmap(p, NPAGES * PAGE);
}

static void test_mapped_anew(void **state)
{
	char *p = map_anon(NPAGES);
	struct round r;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_ptr_equal(mmap(p, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	write_pages(p, 0, 8);
	/* Without arming: nothing may be trusted. */
	r = (struct round){0};
	scan(&r,
	     &(struct vma){.start = (uintptr_t)p,
			   .end = (uintptr_t)p + NPAGES * PAGE,
			   .status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE},
	     tracker_scan_mode(kind, false));
	assert_pages(r, 0, 8, WRITTEN);
	assert_precise(r, 8, NPAGES);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_new(&r);
	assert_pages(r, 0, 8, WRITTEN);
	munmap(p, NPAGES * PAGE);
}

static void test_moved(void **state)
{
	char *p = map_anon(NPAGES), *q = map_anon(NPAGES);
	struct round r;

	write_pages(p, 0, NPAGES);
	write_pages(q, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	(void)look(q, NPAGES, VMA_ANON_PRIVATE);
	/* Pages with other contents at the same place, and none of them written. */
	assert_ptr_equal(mremap(p, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q), q);
	r = look(q, 8, VMA_ANON_PRIVATE);
	assert_new(&r);
	assert_pages(r, 0, 8, WRITTEN);
	r = look(q + 8 * PAGE, 8, VMA_ANON_PRIVATE);
	assert_int_equal(r.state, TRACK_ON);
	assert_precise(r, 0, 8);
	munmap(p + 8 * PAGE, 8 * PAGE);
	munmap(q, NPAGES * PAGE);
}

static void test_moved_dontunmap(void **state)
{
	char *p = map_anon(NPAGES), *q;
	struct round r;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	q = mremap(p, NPAGES * PAGE, NPAGES * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	assert_ptr_not_equal(q, MAP_FAILED);
	write_pages(p, 2, 4);
	r = peek(q, NPAGES, VMA_ANON_PRIVATE);
	if (r.state == TRACK_ON)
		assert_pages(r, 0, NPAGES, WRITTEN);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_pages(r, 0, 2, NOTHING);
	assert_pages(r, 2, 4, WRITTEN);
	assert_pages(r, 4, NPAGES, NOTHING);
	munmap(p, NPAGES * PAGE);
	munmap(q, NPAGES * PAGE);
}

/* Where it can, the kernel moves whole page tables, and looks at none of their entries. */
static void test_moved_table(void **state)
{
	const size_t n = 4 * 512;
	char *area = map_anon(n), *p, *q;
	struct round r;

	p = (char *)(((uintptr_t)area + 512 * PAGE - 1) & ~(512 * PAGE - 1));
	q = p + 512 * PAGE;
	madvise(p, 1024 * PAGE, MADV_NOHUGEPAGE);
	write_pages(p, 0, 1024);
	(void)look(area, n, VMA_ANON_PRIVATE);
	write_pages(q, 100, 400);
	r = peek(q, 512, VMA_ANON_PRIVATE);
	assert_pages(r, 0, NPAGES, CLEAN);
	if (pagescan_zero_pfn()) /* else we aren't allowed to see frames */
		assert_int_equal(r.state, TRACK_ON);
	assert_ptr_equal(mremap(p, 512 * PAGE, 512 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q), q);
	r = peek(q, 512, VMA_ANON_PRIVATE);
	if (r.state == TRACK_ON)
		assert_pages(r, 0, NPAGES, WRITTEN);
	munmap(area, n * PAGE);
}

static void test_grown(void **state)
{
	char *area = map_anon(2 * NPAGES), *p = area + NPAGES / 2 * PAGE;
	struct round r;

	munmap(area, 2 * NPAGES * PAGE);
	p = mmap(p, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	write_pages(p, 0, 8);
	(void)look(p, 8, VMA_ANON_PRIVATE);
	assert_ptr_equal(mremap(p, 8 * PAGE, NPAGES * PAGE, 0), p);
	write_pages(p, 8, NPAGES);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_pages(r, 8, NPAGES, WRITTEN);
	munmap(p, NPAGES * PAGE);
}

static void test_protected(void **state)
{
	char *p = map_anon(NPAGES);
	struct round r;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	mprotect(p, 8 * PAGE, PROT_NONE);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_pages(r, 0, NPAGES, CLEAN);
	mprotect(p, 8 * PAGE, RW);
	write_pages(p, 1, 2);
	mprotect(p, 8 * PAGE, PROT_READ);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(r.state, TRACK_ON);
	assert_pages(r, 0, 1, CLEAN);
	assert_pages(r, 1, 2, WRITTEN);
	assert_pages(r, 2, NPAGES, CLEAN);
	munmap(p, NPAGES * PAGE);
}

static void reap(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_forked(void **state)
{
	char *p = map_anon(NPAGES);
	struct round r;
	pid_t pid;
	int go[2];
	char byte;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	write_pages(p, 0, 2);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(go[0]);
	write_pages(p, 4, 6); /* copies: the pages are the child's, too */
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_pages(r, 0, 2, WRITTEN);
	assert_pages(r, 2, 4, CLEAN);
	assert_pages(r, 4, 6, WRITTEN);
	assert_pages(r, 6, NPAGES, CLEAN);
	close(go[1]);
	reap(pid);
	munmap(p, NPAGES * PAGE);
}

/* A child has a copy of our pages, and none of our marks. */
static void test_child(void **state)
{
	char *p = map_anon(NPAGES);
	struct target me = self;
	struct round r = {0};
	pid_t pid;
	int go[2];
	char byte;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(go[0]);
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	self = (struct target){.pid = pid, .proc = open(path, O_PATH | O_CLOEXEC)};
	scan(&r,
	     &(struct vma){.start = (uintptr_t)p,
			   .end = (uintptr_t)p + NPAGES * PAGE,
			   .status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE},
	     PAGESCAN_DIRTY);
	assert_pages(r, 0, NPAGES, WRITTEN);
	close(self.proc);
	self = me;
	close(go[1]);
	reap(pid);
	munmap(p, NPAGES * PAGE);
}

/* The pages of the file show again; what was in the private copies is gone. */
static void test_private_file(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct round r;
	char *p;

	assert_int_equal(ftruncate(fd, NPAGES * PAGE), 0);
	p = mmap(NULL, NPAGES * PAGE, RW, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	for (size_t i = 0; i < NPAGES; i++)
		(void)*(volatile char *)(p + i * PAGE);
	r = look(p, NPAGES, VMA_FILE_PRIVATE);
	assert_pages(r, 0, NPAGES, NOTHING);
	write_pages(p, 0, 8);
	r = look(p, NPAGES, VMA_FILE_PRIVATE);
	assert_pages(r, 0, 8, WRITTEN);
	assert_pages(r, 8, NPAGES, NOTHING);
	r = look(p, NPAGES, VMA_FILE_PRIVATE);
	assert_pages(r, 0, 8, CLEAN);
	madvise(p, 4 * PAGE, MADV_DONTNEED);
	(void)*(volatile char *)p;
	write_pages(p, 1, 2);
	r = look(p, NPAGES, VMA_FILE_PRIVATE);
	assert_pages(r, 0, 1, NOTHING);
	assert_pages(r, 1, 2, WRITTEN);
	/* A marker is all that is left of these. */
	for (size_t i = 2; i < 4; i++)
		assert_int_not_equal(r.pages[i], CLEAN);
	assert_pages(r, 4, 8, CLEAN);
	munmap(p, NPAGES * PAGE);
	close(fd);
}

static void test_huge(void **state)
{
	const size_t n = 2048, huge = 512;
	char *area = map_anon(n), *p;
	struct round r;

	p = (char *)(((uintptr_t)area + huge * PAGE - 1) & ~(huge * PAGE - 1));
	madvise(p, 2 * huge * PAGE, MADV_HUGEPAGE);
	write_pages(p, 0, 1);
	write_pages(p, huge, huge + 1);
	r = look(p, 2 * huge, VMA_ANON_PRIVATE);
	if (!r.huge[0]) {
		munmap(area, n * PAGE);
		print_message("# no huge pages, or they can't be told from others\n");
		return;
	}
	assert_pages(r, 0, NPAGES, WRITTEN);
	r = look(p, 2 * huge, VMA_ANON_PRIVATE);
	assert_pages(r, 0, NPAGES, CLEAN);
	assert_true(r.huge[0]); /* protecting has left it whole */
	write_pages(p, 3, 4);
	r = look(p, 2 * huge, VMA_ANON_PRIVATE);
	assert_precise(r, 0, 3);
	assert_pages(r, 3, 4, WRITTEN);
	assert_precise(r, 4, NPAGES);
	munmap(area, n * PAGE);
}

/* The kernel, too, writes by the program's page tables. */
static void test_written_by_kernel(void **state)
{
	char *p = map_anon(NPAGES);
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct round r;
	struct iovec local, remote;
	pid_t pid = getpid(), child;

	write_pages(p, 0, NPAGES);
	(void)look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(read(fd, p + PAGE, 1), 1);
	local = (struct iovec){p, 1};
	remote = (struct iovec){p + 3 * PAGE, 1};
	child = fork();
	if (child == 0)
		_exit(process_vm_writev(pid, &local, 1, &remote, 1, 0) == 1 ? 0 : 1);
	reap(child);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_pages(r, 0, 1, CLEAN);
	assert_pages(r, 1, 2, WRITTEN);
	assert_pages(r, 2, 3, CLEAN);
	assert_pages(r, 3, 4, WRITTEN);
	assert_pages(r, 4, NPAGES, CLEAN);
	close(fd);
	munmap(p, NPAGES * PAGE);
}

static void test_foreign(void **state)
{
	char *p = map_anon(NPAGES);
	struct tracker *foreign = own_tracker();
	struct vma v = vma_of(p, NPAGES, VMA_ANON_PRIVATE);
	struct err err = ERR_INIT;
	uint8_t of_foreign;
	struct round r;

	write_pages(p, 0, NPAGES);
	assert_int_equal(tracker_arm(foreign, &v, 1, &of_foreign, &err), 0);
	assert_int_equal(of_foreign, TRACK_NEW);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(r.state, TRACK_OFF);
	tracker_free(foreign);
	r = look(p, NPAGES, VMA_ANON_PRIVATE);
	assert_int_equal(r.state, TRACK_NEW);
	assert_pages(r, 0, NPAGES, WRITTEN);
	munmap(p, NPAGES * PAGE);
}

static void test_gone(void **state)
{
	char *p = map_anon(NPAGES);
	struct vma v = vma_of(p, NPAGES, VMA_ANON_PRIVATE);
	struct err err = ERR_INIT;
	uint8_t st = TRACK_ON;

	munmap(p, NPAGES * PAGE);
	assert_int_equal(tracker_arm(tracker, &v, 1, &st, &err), 0);
	assert_int_equal(st, TRACK_OFF);
	assert_false(tracker_is_stale(tracker));
}

static void test_not_trackable(void **state)
{
	static const uint32_t never[] = {VMA_AREA_VDSO, VMA_AREA_VVAR, VMA_AREA_VSYSCALL,
					 VMA_AREA_AIORING, VMA_FILE_SHARED};

	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		struct vma v = {.status = VMA_AREA_REGULAR | never[i] |
					  (never[i] == VMA_FILE_SHARED ? 0 : VMA_ANON_PRIVATE)};

		assert_false(vma_is_trackable(&v));
	}
	assert_true(vma_is_trackable(&(struct vma){.status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE}));
}

/* A terabyte of nothing costs nothing, and what is in it is found. */
static void test_sparse(void **state)
{
	const size_t size = 1ul << 40;
	char *p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct vma v = vma_of(p, size / PAGE, VMA_ANON_PRIVATE);
	struct pagescan *s = calloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	struct pagescan_region g;
	uint8_t st;

	if (p == MAP_FAILED) {
		free(s);
		print_message("# no memory to reserve\n");
		return;
	}
	for (size_t i = 0; i < 4; i++)
		p[i * (size / 4) + 5 * PAGE] = 1;
	assert_int_equal(tracker_arm(tracker, &v, 1, &st, &err), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(
			pagescan_init(s, &self, PAGESCAN_DATA, PAGESCAN_PROTECT, &v, 1, &err), 0);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(pagescan_next(s, &g, &err), 1);
			assert_int_equal(g.start, v.start + i * (size / 4) + 5 * PAGE);
			assert_int_equal(g.end, g.start + PAGE);
			assert_int_equal(g.written, round == 0);
		}
		assert_int_equal(pagescan_next(s, &g, &err), 0);
		pagescan_done(s);
	}
	free(s);
	munmap(p, size);
}

#define both(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, setup_uffd, teardown),                               \
		cmocka_unit_test_setup_teardown(name, setup_soft, teardown)
#define uffd_only(name) cmocka_unit_test_setup_teardown(name, setup_uffd, teardown)

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_not_trackable),
		both(test_write),
		both(test_dontneed),
		both(test_mapped_anew),
		both(test_moved),
		both(test_moved_dontunmap),
		both(test_moved_table),
		both(test_grown),
		both(test_protected),
		both(test_forked),
		uffd_only(test_child), /* soft-dirty bits are inherited */
		both(test_private_file),
		both(test_huge),
		both(test_written_by_kernel),
		uffd_only(test_foreign),
		uffd_only(test_gone),
		uffd_only(test_sparse),
	};

	struct CMUnitTest tests[ARRAY_SIZE(all)];
	bool uffd = tracker_works(TRACKER_UFFD_WP), soft = tracker_works(TRACKER_SOFT_DIRTY);
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if ((all[i].setup_func != setup_uffd || uffd) &&
		    (all[i].setup_func != setup_soft || soft))
			tests[n++] = all[i];
	if (!uffd || !soft)
		print_message("# not on this kernel:%s%s\n", uffd ? "" : " uffd-wp",
			      soft ? "" : " soft-dirty");
	return _cmocka_run_group_tests("track", tests, n, NULL, NULL);
}
