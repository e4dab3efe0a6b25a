/* SPDX-License-Identifier: Apache-2.0 */
/* Keepers: that they are found, believed only where that is right, and that they go. */
#include "base/auto.h"
#include "base/io.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "mem/keeper.h"
#include "mem/keeper_state.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define RUN_ID "01234567-89ab-cdef-0123-456789abcdef"

static struct err err;

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static uint64_t start_time(pid_t pid)
{
	char path[32];
	struct proc_stat st;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	assert_int_equal(proc_read_stat(AT_FDCWD, path, &st), 0);
	return st.start_time;
}

/* Any descriptor will do: keepers don't use them. */
static void add(struct keeper *k, pid_t pid, int fd)
{
	struct tracker *tr = calloc(1, sizeof(*tr));

	assert_non_null(tr);
	*tr = (struct tracker){
		.kind = k->kind, .pid = pid, .start_time = start_time(pid), .fd = fd};
	*vec_push(&k->trackers) = tr;
}

static struct keeper prepare(pid_t root)
{
	struct keeper k = {
		.root = root, .root_comm = "test", .kind = TRACKER_SOFT_DIRTY, .run_id = RUN_ID};

	err = ERR_INIT;
	add(&k, root, eventfd(7, EFD_CLOEXEC));
	return k;
}

static bool ends(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 10000) == 1;
}

static void assert_none(pid_t root)
{
	struct keeper k;

	assert_int_equal(keeper_find(root, &k, &err), 0);
	assert_int_equal(k.pid, 0);
	keeper_done(&k);
}

static void test_start_and_find(void **state)
{
	pid_t root = sleeper(), other = sleeper();
	struct keeper k = prepare(root), found;
	uint64_t count;

	add(&k, other, -EBADF);
	assert_none(root);
	assert_int_equal(keeper_start(&k, &err), 0);
	assert_true(k.pid > 0);
	assert_int_equal(keeper_find(root, &found, &err), 1);
	assert_int_equal(found.pid, k.pid);
	assert_int_equal(found.root, root);
	assert_string_equal(found.root_comm, "test");
	assert_string_equal(found.run_id, RUN_ID);
	assert_int_equal(found.kind, TRACKER_SOFT_DIRTY);
	assert_int_equal(found.trackers.len, 2);
	assert_int_equal(found.trackers.data[0]->pid, root);
	assert_false(found.trackers.data[0]->is_new);
	/* It is the very same file. */
	assert_int_equal(read(found.trackers.data[0]->fd, &count, 8), 8);
	assert_int_equal(count, 7);
	assert_true(found.trackers.data[1]->fd < 0);
	keeper_done(&found);
	/* By any of its tasks. */
	assert_int_equal(keeper_find(other, &found, &err), 1);
	assert_int_equal(found.root, root);
	keeper_end(&found);
	assert_int_equal(found.pid, 0);
	assert_int_equal(found.trackers.len, 2);
	keeper_done(&found);
	assert_true(ends(k.pidfd));
	assert_none(root);
	keeper_done(&k);
	finish(root);
	finish(other);
}

static void assert_link(pid_t pid, const char *name, const char *want)
{
	char path[64], link[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, link, sizeof(link) - 1);
	assert_true(n > 0);
	link[n] = '\0';
	assert_true(!strncmp(link, want, strlen(want)));
}

/* What it must not have. */
static void test_holds_nothing(void **state)
{
	pid_t root = sleeper();
	struct keeper k = prepare(root);
	char path[64], cmdline[256] = "";
	auto_ids struct proc_ids fds = {0};
	auto_close int proc = -EBADF;
	struct proc_stat st;
	int file = memfd_create("an image", 0), inherited = dup(file);
	void *mapped;
	auto_free char *maps = NULL, *status = NULL;
	uint64_t caught, blocked, ignored;
	sigset_t set, old;

	assert_int_equal(ftruncate(file, 4096), 0);
	mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	assert_int_equal(keeper_start(&k, &err), 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	snprintf(path, sizeof(path), "/proc/%d", k.pid);
	proc = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(proc_list_dir(proc, "fd", &fds), 0);
	assert_int_equal(fds.len, 6); /* stdio, state, tracker, pidfd */
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "fd/%d", i);
		assert_link(k.pid, path, "/dev/null");
	}
	assert_link(k.pid, "fd/3", "/memfd:torpor-keeper");
	assert_link(k.pid, "cwd", "/");
	assert_int_equal(proc_read_stat(proc, "stat", &st), 0);
	assert_string_equal(st.comm, "torpor-keeper");
	assert_int_equal(st.tty_nr, 0);
	assert_int_not_equal(st.sid, getsid(0));
	assert_int_not_equal(st.ppid, getpid());
	assert_int_equal(io_read_file(proc, "maps", &maps, NULL), 0);
	assert_null(strstr(maps, "an image"));
	assert_int_equal(io_read_file(proc, "status", &status, NULL), 0);
	assert_true(proc_field_u64(status, "SigBlk", 16, &blocked));
	assert_true(proc_field_u64(status, "SigCgt", 16, &caught));
	assert_true(proc_field_u64(status, "SigIgn", 16, &ignored));
	assert_int_equal(blocked | caught | ignored, 0);
	assert_true(proc_read_small(proc, "cmdline", cmdline, sizeof(cmdline)) > 0);
	/* As far as there is room for it. */
	assert_true(!strncmp(cmdline, "torpor-keeper", MIN(strlen(cmdline), (size_t)13)));
	munmap(mapped, 4096);
	close(file);
	close(inherited);
	keeper_end(&k);
	keeper_done(&k);
	finish(root);
}

/* It ends with the last of its tasks, and not before. */
static void test_tasks_end(void **state)
{
	pid_t root = sleeper(), other = sleeper();
	struct keeper k = prepare(root), found;

	add(&k, other, -EBADF);
	assert_int_equal(keeper_start(&k, &err), 0);
	finish(other);
	usleep(20000);
	assert_int_equal(keeper_find(root, &found, &err), 1);
	assert_int_equal(found.trackers.len, 1);
	keeper_done(&found);
	finish(root);
	assert_true(ends(k.pidfd));
	keeper_done(&k);
}

static void test_killed(void **state)
{
	pid_t root = sleeper();
	struct keeper k = prepare(root);

	assert_int_equal(keeper_start(&k, &err), 0);
	kill(k.pid, SIGKILL);
	assert_true(ends(k.pidfd));
	assert_none(root);
	keeper_end(&k); /* does no harm */
	keeper_done(&k);
	finish(root);
}

static void test_dead_tasks(void **state)
{
	pid_t root = sleeper();
	struct keeper k = prepare(root);

	k.trackers.data[0]->start_time++; /* the pid is that of another process */
	assert_int_equal(keeper_start(&k, &err), 0);
	assert_int_equal(k.pid, 0);
	keeper_done(&k);
	finish(root);
}

static void test_newest(void **state)
{
	pid_t root = sleeper();
	struct keeper a = prepare(root), b = prepare(root), found;

	assert_int_equal(keeper_start(&a, &err), 0);
	b.run_id[0] = 'f';
	assert_int_equal(keeper_start(&b, &err), 0);
	assert_int_equal(keeper_find(root, &found, &err), 1);
	assert_int_equal(found.pid, b.pid);
	assert_int_equal(found.run_id[0], 'f');
	assert_true(ends(a.pidfd));
	keeper_end(&found);
	keeper_done(&found);
	keeper_done(&a);
	keeper_done(&b);
	finish(root);
}

/* A process that calls itself a keeper. */
static pid_t pretender(const struct keeper_state *s, size_t size, int seals)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		int fd = memfd_create("forged", MFD_ALLOW_SEALING);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, KEEPER_COMM);
		if (io_write_full(fd, s, size) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0 ||
		    (ready[1] == KEEPER_STATE_FD && (ready[1] = dup(ready[1])) < 0) ||
		    dup2(fd, KEEPER_STATE_FD) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void assert_forged(const struct keeper_state *s, size_t size, int seals, bool good)
{
	pid_t root = s->root, pid = pretender(s, size, seals);
	struct keeper k;

	assert_int_equal(keeper_find(root, &k, &err), good);
	keeper_done(&k);
	finish(pid);
}

static void test_forged(void **state)
{
	const size_t size = sizeof(struct keeper_state) + sizeof(struct keeper_task);
	pid_t root = sleeper();
	struct keeper_state *s = calloc(1, size), *bad = calloc(1, size);

	assert_non_null(s);
	assert_non_null(bad);
	err = ERR_INIT;
	*s = (struct keeper_state){
		.magic = KEEPER_MAGIC,
		.version = KEEPER_VERSION,
		.kind = TRACKER_SOFT_DIRTY,
		.pid_ns = keeper_pid_ns(),
		.run_id = RUN_ID,
		.root = root,
		.ntasks = 1,
	};
	s->tasks[0] = (struct keeper_task){.pid = root, .fd = -1, .start_time = start_time(root)};
	assert_forged(s, size, KEEPER_SEALS, true);
	assert_forged(s, size, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW, false);
	assert_forged(s, size - 1, KEEPER_SEALS, false);
	assert_forged(s, 8, KEEPER_SEALS, false);
#define FORGED(field, value)                                                                       \
	memcpy(bad, s, size);                                                                      \
	bad->field = value;                                                                        \
	assert_forged(bad, size, KEEPER_SEALS, false)
	FORGED(magic, 0);
	FORGED(version, 2);
	FORGED(kind, 3);
	FORGED(kind, TRACKER_NONE);
	FORGED(pid_ns, 1);
	FORGED(ntasks, 2);
	FORGED(ntasks, UINT32_MAX);
	FORGED(tasks[0].start_time, 1); /* the pid is that of another process by now */
	FORGED(tasks[0].pid, 1);
	memcpy(bad, s, size);
	memset(bad->run_id, 'x', sizeof(bad->run_id));
	assert_forged(bad, size, KEEPER_SEALS, false);
	free(s);
	free(bad);
	finish(root);
}

/* Who reads torpor's output until its end must not wait for the keeper. */
static void test_output_ends(void **state)
{
	pid_t root = sleeper(), torpor;
	struct keeper found;
	int out[2], status;
	char byte;

	assert_int_equal(pipe(out), 0);
	torpor = fork();
	if (torpor == 0) {
		struct keeper k = prepare(root);

		dup2(out[1], 1);
		dup2(out[1], 2);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		_exit(keeper_start(&k, &err) == 0 && k.pid ? 0 : 1);
	}
	close(out[1]);
	assert_int_equal(waitpid(torpor, &status, 0), torpor);
	assert_int_equal(status, 0);
	assert_int_equal(read(out[0], &byte, 1), 0);
	close(out[0]);
	assert_int_equal(keeper_find(root, &found, &err), 1);
	keeper_end(&found);
	keeper_done(&found);
	finish(root);
}

static void count_own(void *ctx, const struct keeper *k)
{
	int *n = ctx;

	if (!strcmp(k->run_id, RUN_ID) && !strcmp(k->root_comm, "test") && k->trackers.len == 1)
		++*n;
}

static void test_each(void **state)
{
	pid_t root = sleeper();
	struct keeper k = prepare(root);
	int n = 0;

	assert_int_equal(keeper_start(&k, &err), 0);
	assert_int_equal(keeper_each(count_own, &n, &err), 0);
	assert_true(n >= 1);
	keeper_end(&k);
	keeper_done(&k);
	finish(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_find), cmocka_unit_test(test_holds_nothing),
		cmocka_unit_test(test_tasks_end),      cmocka_unit_test(test_killed),
		cmocka_unit_test(test_dead_tasks),     cmocka_unit_test(test_newest),
		cmocka_unit_test(test_forged),	       cmocka_unit_test(test_output_ends),
		cmocka_unit_test(test_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
