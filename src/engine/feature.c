/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each probe asks the kernel to do the thing itself, in the smallest way, rather than comparing
 * version numbers: distributions backport, and sandboxes forbid. Probes that would change
 * something run in a child that is thrown away. A probe answers 0 or a negative errno.
 *
 * The table also has the names that other programs may ask for and that torpor has no use for
 * yet; they answer "no", because to those programs "yes" would mean that torpor can do it.
 */
#include "engine/feature.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/check_track.h"
#include "kernel/sys.h"
#include "kernel/uapi/mman.h"
#include "kernel/uapi/pagemap.h"
#include "kernel/uapi/ptrace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS	77 /* 6.16 */
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif

/* ------------------------------------------------------------------ children */

/* Runs the probe in a child; its answer is the exit status. */
static int in_child(int (*probe)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(-probe());
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* Seizes a stopped child and has it stop once more, under ptrace, for the probe. */
static int seize_and_probe(pid_t pid, unsigned long options, int (*probe)(pid_t pid))
{
	int status;
	int r;

	if (waitpid(pid, &status, WUNTRACED) < 0)
		return -errno;
	if (!WIFSTOPPED(status))
		return -EIO;
	r = (int)sys_ptrace(PTRACE_SEIZE, pid, 0, options);
	if (r < 0 || !probe)
		return r;
	r = (int)sys_ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	if (r < 0)
		return r;
	if (waitpid(pid, &status, __WALL) < 0)
		return -errno;
	return probe(pid);
}

/* A child prepares itself and stops; the probe looks at it from outside. */
static int on_tracee(unsigned long options, int (*prepare)(void), int (*probe)(pid_t pid))
{
	pid_t pid = fork();
	int r;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (prepare && prepare() < 0)
			_exit(1);
		for (;;)
			raise(SIGSTOP);
	}
	r = seize_and_probe(pid, options, probe);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return r;
}

/* ------------------------------------------------------------------ what any dump needs */

static int probe_map_files(void)
{
	auto_closedir DIR *dir = opendir("/proc/self/map_files");
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		auto_close int fd = -EBADF;

		if (entry->d_name[0] == '.')
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_PATH | O_CLOEXEC);
		return fd < 0 ? -errno : 0;
	}
	return -ENOENT;
}

static int probe_kcmp(void)
{
	int r = sys_kcmp(getpid(), getpid(), KCMP_VM, 0, 0);

	return r < 0 ? r : 0;
}

static int probe_pidfd_store(void)
{
	auto_close int pidfd = sys_pidfd_open(getpid(), 0);
	auto_close int fd = -EBADF;

	if (pidfd < 0)
		return pidfd;
	fd = sys_pidfd_getfd(pidfd, pidfd);
	return fd < 0 ? fd : 0;
}

/* A tid of 0 is an error to a kernel that knows the field; others find the struct too big. */
static int probe_clone3_set_tid(void)
{
	pid_t tid = 0;
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&tid, .set_tid_size = 1};
	pid_t pid = sys_clone3(&args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return pid == -EINVAL ? 0 : (pid < 0 ? pid : -EIO);
}

static int peek_siginfo(pid_t pid)
{
	struct ptrace_peeksiginfo_args args = {.nr = 1};
	siginfo_t info;
	long r = sys_ptrace(PTRACE_PEEKSIGINFO, pid, (uintptr_t)&args, (uintptr_t)&info);

	return r < 0 ? (int)r : 0;
}

static int probe_peeksiginfo(void)
{
	return on_tracee(0, NULL, peek_siginfo);
}

/* Only to oneself may a process queue what looks like the kernel's own signal. */
static int queue_siginfo(void)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = 1};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info) < 0 ? -errno : 0;
}

static int probe_sigqueueinfo(void)
{
	return in_child(queue_siginfo);
}

static int probe_set_mm_map(void)
{
	unsigned int size;

	return prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) < 0 ? -errno : 0;
}

static int probe_tid_address(void)
{
	int *address;

	return prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) < 0 ? -errno : 0;
}

static int find_line(const char *path, const char *line)
{
	auto_free char *text = NULL;
	int r = io_read_file(AT_FDCWD, path, &text, NULL);

	if (r < 0)
		return r;
	return strstr(text, line) ? 0 : -ENOENT;
}

static int probe_mnt_id(void)
{
	return find_line("/proc/self/fdinfo/0", "\nmnt_id:");
}

static int probe_ns_pid(void)
{
	return find_line("/proc/self/status", "\nNSpid:");
}

/* The vDSO is there already, which is what the kernel complains about if it knows the call. */
static int probe_can_map_vdso(void)
{
	if (syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, 0UL) >= 0 || errno == EEXIST)
		return 0;
	return -errno;
}

/* ------------------------------------------------------------------ what some dumps need */

static int probe_seccomp_suspend(void)
{
	return on_tracee(PTRACE_O_SUSPEND_SECCOMP, NULL, NULL);
}

static int install_filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.len = 1, .filter = &allow};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int get_filter(pid_t pid)
{
	return (int)sys_ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, 0);
}

static int probe_seccomp_filters(void)
{
	return on_tracee(0, install_filter, get_filter);
}

static int get_rseq(pid_t pid)
{
	struct ptrace_rseq_configuration conf;
	long r = sys_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, sizeof(conf), (uintptr_t)&conf);

	return r < 0 ? (int)r : 0;
}

static int probe_get_rseq_conf(void)
{
	return on_tracee(0, NULL, get_rseq);
}

static int rewrite_loginuid(void)
{
	auto_free char *text = NULL;
	int r = io_read_file(AT_FDCWD, "/proc/self/loginuid", &text, NULL);

	return r < 0 ? r : io_write_file(AT_FDCWD, "/proc/self/loginuid", text);
}

static int probe_loginuid(void)
{
	return in_child(rewrite_loginuid);
}

static int probe_uffd(void)
{
	auto_close int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API};

	if (fd < 0)
		return -errno;
	return ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

static int scan_own_page(uint64_t categories)
{
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t page = (uintptr_t)&fd & ~UINT64_C(4095);
	struct page_region region;
	struct pm_scan_arg arg = {.size = sizeof(arg),
				  .start = page,
				  .end = page + 4096,
				  .vec = (uintptr_t)&region,
				  .vec_len = 1,
				  .category_anyof_mask = categories,
				  .return_mask = categories};

	if (fd < 0)
		return -errno;
	return ioctl(fd, PAGEMAP_SCAN, &arg) < 0 ? -errno : 0;
}

static int probe_pagemap_scan(void)
{
	return scan_own_page(PAGE_IS_PRESENT);
}

static int probe_guard_pages(void)
{
	return scan_own_page(PAGE_IS_GUARD);
}

static int probe_timens(void)
{
	return access("/proc/self/ns/time_for_children", F_OK) < 0 ? -errno : 0;
}

static int probe_timer_cr_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) < 0
		       ? -errno
		       : 0;
}

static int probe_memfd_hugetlb(void)
{
	auto_close int fd = memfd_create("torpor", MFD_CLOEXEC | MFD_HUGETLB);

	return fd < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------ the table */

enum need {
	NEED_ALWAYS, /* `check` */
	NEED_SOME,   /* `check --extra`: for some trees, or to be faster */
	NEED_NAMED,  /* only by --feature */
};

struct feature {
	const char *name;
	enum need need;
	int (*probe)(void); /* NULL: torpor has no use for it yet */
	const char *lost;   /* without it; or what torpor can't do */
};

static const struct feature features[] = {
	{"map_files", NEED_ALWAYS, probe_map_files, "mapped files can't be identified"},
	{"kcmp", NEED_ALWAYS, probe_kcmp, "shared descriptors can't be told from equal ones"},
	{"pidfd_store", NEED_ALWAYS, probe_pidfd_store, "descriptors can't be looked at"},
	{"clone3_set_tid", NEED_ALWAYS, probe_clone3_set_tid, "pids can't be restored"},
	{"peeksiginfo", NEED_ALWAYS, probe_peeksiginfo, "pending signals can't be dumped"},
	{"sigqueueinfo", NEED_ALWAYS, probe_sigqueueinfo, "pending signals can't be restored"},
	{"set_mm_map", NEED_ALWAYS, probe_set_mm_map, "address spaces can't be restored"},
	{"tid_address", NEED_ALWAYS, probe_tid_address, "clear_child_tid can't be dumped"},
	{"mnt_id", NEED_ALWAYS, probe_mnt_id, "open files can't be located"},
	{"ns_pid", NEED_ALWAYS, probe_ns_pid, "pids in namespaces can't be dumped"},
	{"can_map_vdso", NEED_ALWAYS, probe_can_map_vdso, "the vDSO can't be put in its place"},

	{"seccomp_suspend", NEED_SOME, probe_seccomp_suspend, "tasks with seccomp can't be dumped"},
	{"seccomp_filters", NEED_SOME, probe_seccomp_filters, "seccomp filters can't be dumped"},
	{"get_rseq_conf", NEED_SOME, probe_get_rseq_conf,
	 "restartable sequences are lost (glibc's are registered again)"},
	{"loginuid", NEED_SOME, probe_loginuid, "audit login ids aren't restored"},
	{"uffd", NEED_SOME, probe_uffd, "memory is restored by copying remotely, which is slower"},
	{"pagemap_scan", NEED_SOME, probe_pagemap_scan, "memory is scanned page by page"},
	{"mem_dirty_track", NEED_SOME, check_tracker, "dumps are always full"},
	{"pagemap_scan_guard_pages", NEED_SOME, probe_guard_pages, "guard pages can't be seen"},
	{"memfd_hugetlb", NEED_SOME, probe_memfd_hugetlb,
	 "shared memory of huge pages can't be restored"},
	{"timens", NEED_SOME, probe_timens, "monotonic clocks jump at a restore after a reboot"},
	{"timer_cr_ids", NEED_SOME, probe_timer_cr_ids,
	 "timers with high ids are restored slowly, by making all lower ones first"},

	{"aio_remap", NEED_NAMED, NULL, "asynchronous I/O contexts aren't dumped"},
	{"timerfd", NEED_NAMED, NULL, "timerfds aren't dumped"},
	{"tun", NEED_NAMED, NULL, "tun devices aren't dumped"},
	{"tun_ns", NEED_NAMED, NULL, "tun devices aren't dumped"},
	{"userns", NEED_NAMED, NULL, "user namespaces aren't dumped"},
	{"fdinfo_lock", NEED_NAMED, NULL, "file locks aren't dumped"},
	{"cgroupns", NEED_NAMED, NULL, "cgroup namespaces aren't dumped"},
	{"autofs", NEED_NAMED, NULL, "mount namespaces aren't dumped"},
	{"tcp_half_closed", NEED_NAMED, NULL, "TCP connections aren't dumped"},
	{"compat_cr", NEED_NAMED, NULL, "32-bit tasks aren't dumped"},
	{"uffd-noncoop", NEED_NAMED, NULL, "memory isn't restored lazily"},
	{"sk_ns", NEED_NAMED, NULL, "sockets aren't dumped"},
	{"sk_unix_file", NEED_NAMED, NULL, "sockets aren't dumped"},
	{"net_diag_raw", NEED_NAMED, NULL, "sockets aren't dumped"},
	{"nsid", NEED_NAMED, NULL, "network namespaces aren't dumped"},
	{"link_nsid", NEED_NAMED, NULL, "network namespaces aren't dumped"},
	{"kcmp_epoll", NEED_NAMED, NULL, "epoll descriptors aren't dumped"},
	{"external_net_ns", NEED_NAMED, NULL, "network namespaces aren't dumped"},
	{"newifindex", NEED_NAMED, NULL, "network namespaces aren't dumped"},
	{"nftables", NEED_NAMED, NULL, "network namespaces aren't dumped"},
	{"has_ipt_legacy", NEED_NAMED, NULL, "network namespaces aren't dumped"},
	{"apparmor_stacking", NEED_NAMED, NULL, "AppArmor namespaces aren't dumped"},
	{"network_lock_nftables", NEED_NAMED, NULL, "TCP connections aren't dumped"},
	{"sockopt_buf_lock", NEED_NAMED, NULL, "sockets aren't dumped"},
	{"move_mount_set_group", NEED_NAMED, NULL, "mount namespaces aren't dumped"},
	{"openat2", NEED_NAMED, NULL, "mount namespaces aren't dumped"},
	{"overlayfs_maps", NEED_NAMED, NULL, "mapped files are found by map_files instead"},
	{"breakpoints", NEED_NAMED, NULL, "breakpoints aren't needed"},
};

const char *feature_name(size_t index)
{
	return index < ARRAY_SIZE(features) ? features[index].name : NULL;
}

static bool feature_works(const struct feature *f)
{
	int r;

	if (!f->probe) {
		log_warn("feature %s isn't supported yet: %s", f->name, f->lost);
		return false;
	}
	r = f->probe();
	if (r < 0)
		log_warn("feature %s isn't there (%s): %s", f->name, strerror(-r), f->lost);
	else
		log_debug("feature %s is there", f->name);
	return r >= 0;
}

static int check_named(const char *name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (strcmp(features[i].name, name) != 0)
			continue;
		if (!feature_works(&features[i]))
			return 1;
		printf("%s is supported\n", name);
		return 0;
	}
	return err_input(err, "Unknown feature %s", name);
}

static bool all_work(enum need need)
{
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (features[i].need == need && !feature_works(&features[i]))
			good = false;
	}
	return good;
}

static int check_all(const struct options *o)
{
	if (!all_work(NEED_ALWAYS)) {
		log_warn("Does not look good.");
		return 1;
	}
	/* No feature is experimental: --experimental adds nothing. */
	if (o->check_extra && !all_work(NEED_SOME)) {
		printf("Looks good but some kernel features are missing\n"
		       "which, depending on the tree, can make a dump or a restore fail.\n"
		       "The warnings say which, and what is lost without them.\n");
		return 1;
	}
	printf("Looks good.\n");
	return 0;
}

int features_check(const struct options *o, struct err *err)
{
	int r;

	if (o->feature)
		return check_named(o->feature, err);
	r = check_all(o);
	check_track_show();
	return r;
}
