/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a keeper, and what it is from then on: a process that waits for the end of its tasks.
 *
 * It must not be noticed by anybody. It holds no descriptor that it inherited (who reads torpor's
 * output until its end would wait for ever), no terminal, no working directory, no files of the
 * images mapped into memory (which would keep a file system from being unmounted); signals are at
 * their defaults, so that SIGTERM ends it. It is not torpor's child, but its orphan: an
 * intermediate process that we wait for is its parent, so that nobody gets a child that it didn't
 * start. It changes no state: what it was started with is what it says, until it ends.
 *
 * It runs in a copy of torpor, possibly of one with threads: what it needs is made before the fork
 * as far as that is possible.
 */
#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "mem/keeper.h"
#include "mem/keeper_state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* All that the new process needs. */
struct start {
	struct keeper_state *state;
	size_t size;
	int state_fd;
	int ready;	      /* where it writes its pid */
	struct pollfd *polls; /* pidfds of its tasks, and their order in the state */
	size_t npolls;
	int *kept; /* descriptors to keep, ascending */
	size_t nkept;
	char title[64];
	uint64_t args, args_end; /* where the kernel reads the command line */
};

/* ------------------------------------------------------- in the new process */

static int compare_ints(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* All descriptors but those that are kept. */
static void close_others(const struct start *s)
{
	unsigned int from = 0;

	for (size_t i = 0; i < s->nkept; i++) {
		unsigned int fd = (unsigned int)s->kept[i];

		if (fd > from)
			syscall(SYS_close_range, from, fd - 1, 0);
		from = fd + 1;
	}
	syscall(SYS_close_range, from, ~0U, 0);
}

static bool stdio_to_null(void)
{
	for (int i = 0; i < 3; i++)
		if (open("/dev/null", O_RDWR) < 0 && open("/", O_PATH) < 0)
			return false;
	return true;
}

/* By plain calls: the C library leaves those that it uses itself (32, 33) to nobody. */
static void signals_to_default(void)
{
	const uint64_t def[4] = {0}, none = 0; /* the kernel's struct sigaction: handler, ... */

	for (int i = 1; i < NSIG; i++)
		(void)syscall(SYS_rt_sigaction, i, def, NULL, sizeof(none)); /* but KILL, STOP */
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/*
 * Images and other files that torpor had mapped. What belongs to its own code has executable
 * mappings of the same file. (The C library's heap is in order after a fork of several threads.)
 */
static void unmap_files(void)
{
	auto_lines struct proc_lines l = PROC_LINES_INIT;
	VEC(struct proc_map) maps = {0};
	char *line;

	if (proc_lines_open(&l, AT_FDCWD, "/proc/self/maps") < 0)
		return;
	while (proc_lines_next(&l, &line) > 0) {
		struct proc_map m;

		if (proc_parse_map(line, &m) >= 0 && m.ino)
			*vec_push(&maps) = m;
	}
	vec_foreach (m, &maps) {
		bool code = false;

		vec_foreach (o, &maps)
			code |= o->ino == m->ino && o->dev_major == m->dev_major &&
				o->dev_minor == m->dev_minor && o->perms[2] == 'x';
		if (!code)
			munmap((void *)m->start, m->end - m->start);
	}
	vec_done(&maps);
}

static void set_title(const struct start *s)
{
	size_t room = s->args_end - s->args;

	prctl(PR_SET_NAME, KEEPER_COMM);
	if (room < 2)
		return;
	memset((char *)s->args, 0, room);
	memcpy((char *)s->args, s->title, MIN(strlen(s->title), room - 1));
}

/* Until the last task is dead. Descriptors of dead ones pin a bit of kernel memory: closed. */
static void wait_for_tasks(const struct start *s)
{
	size_t left = s->npolls;

	while (left) {
		if (poll(s->polls, s->npolls, -1) < 0 && errno != EINTR)
			return;
		for (size_t i = 0; i < s->npolls; i++) {
			if (s->polls[i].fd < 0 || !s->polls[i].revents)
				continue;
			close(s->polls[i].fd);
			fd_close(s->state->tasks[i].fd);
			s->polls[i].fd = -1;
			left--;
		}
	}
}

static _Noreturn void keeper_main(struct start *s)
{
	pid_t me = getpid();

	signals_to_default();
	close_others(s);
	if (!stdio_to_null() || chdir("/") < 0)
		_exit(1);
	umask(0);
	unmap_files();
	set_title(s);
	if (write(s->ready, &me, sizeof(me)) != sizeof(me))
		_exit(1);
	close(s->ready);
	wait_for_tasks(s);
	_exit(0);
}

/* -------------------------------------------------------------- beforehand */

/* A pidfd of the very process that the tracker belongs to, or a negative errno. */
static int open_task(const struct tracker *tr)
{
	auto_close int pidfd = sys_pidfd_open(tr->pid, 0);
	struct proc_stat st;
	char path[32];
	int r;

	if (pidfd < 0)
		return pidfd;
	snprintf(path, sizeof(path), "/proc/%d/stat", tr->pid);
	r = proc_read_stat(AT_FDCWD, path, &st);
	if (r < 0)
		return r;
	if (st.start_time != tr->start_time || st.state == 'Z' || st.state == 'X')
		return -ESRCH;
	return TAKE_FD(pidfd);
}

/* Numbers below are for stdio and the state. */
static int move_up(int *fd)
{
	int up;

	if (*fd < 0 || *fd > KEEPER_STATE_FD)
		return 0;
	up = fd_dup_above(*fd, KEEPER_STATE_FD + 1);
	if (up < 0)
		return up;
	fd_close(*fd);
	*fd = up;
	return 0;
}

static int collect_tasks(struct keeper *k, struct start *s, struct err *err)
{
	vec_foreach (t, &k->trackers) {
		struct tracker *tr = *t;
		int pidfd = open_task(tr), r;

		if (proc_is_gone(pidfd))
			continue;
		if (pidfd >= 0)
			s->polls[s->npolls].fd = pidfd;
		r = pidfd < 0 ? pidfd : move_up(&tr->fd);
		if (r >= 0)
			r = move_up(&s->polls[s->npolls].fd);
		if (r < 0)
			return err_sys(err, r, "pid %d: a pidfd for its keeper", tr->pid);
		s->polls[s->npolls].events = POLLIN;
		s->state->tasks[s->npolls++] = (struct keeper_task){
			.pid = tr->pid, .fd = tr->fd, .start_time = tr->start_time};
	}
	return 0;
}

static int write_state(const struct keeper *k, struct start *s, struct err *err)
{
	struct keeper_state *st = s->state;
	struct timespec now;
	int r;

	clock_gettime(CLOCK_BOOTTIME, &now);
	st->magic = KEEPER_MAGIC;
	st->version = KEEPER_VERSION;
	st->kind = (uint32_t)k->kind;
	st->pid_ns = keeper_pid_ns();
	st->born_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	st->root = k->root;
	st->ntasks = (uint32_t)s->npolls;
	memcpy(st->run_id, k->run_id, sizeof(k->run_id));
	memcpy(st->root_comm, k->root_comm, sizeof(k->root_comm));
	s->size = sizeof(*st) + s->npolls * sizeof(st->tasks[0]);
	s->state_fd = memfd_create(KEEPER_COMM, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->state_fd < 0)
		return err_sys(err, -errno, "create the state of a keeper");
	r = move_up(&s->state_fd);
	if (r >= 0)
		r = io_write_full(s->state_fd, st, s->size);
	if (r >= 0 && fcntl(s->state_fd, F_ADD_SEALS, KEEPER_SEALS) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "write the state of a keeper") : 0;
}

static void list_kept(struct start *s)
{
	s->kept = xcalloc(2 * s->npolls + 2, sizeof(*s->kept));
	for (size_t i = 0; i < s->npolls; i++) {
		s->kept[s->nkept++] = s->polls[i].fd;
		if (s->state->tasks[i].fd >= 0)
			s->kept[s->nkept++] = s->state->tasks[i].fd;
	}
	s->kept[s->nkept++] = s->ready;
	s->kept[s->nkept++] = KEEPER_STATE_FD;
	qsort(s->kept, s->nkept, sizeof(*s->kept), compare_ints);
}

static void find_args(struct start *s, const struct keeper *k)
{
	struct proc_stat st;

	snprintf(s->title, sizeof(s->title), "%s: tracks %d (%s)", KEEPER_COMM, k->root,
		 k->root_comm);
	if (proc_read_stat(AT_FDCWD, "/proc/self/stat", &st) < 0 || st.arg_end < st.arg_start)
		return;
	s->args = st.arg_start;
	s->args_end = st.arg_end;
}

/* ------------------------------------------------------------------- start */

/* In the intermediate process: the state goes to its number, whatever was there. */
static _Noreturn void intermediate(struct start *s)
{
	pid_t pid;

	if (setsid() < 0 || dup2(s->state_fd, KEEPER_STATE_FD) < 0)
		_exit(1);
	pid = fork();
	if (pid == 0)
		keeper_main(s);
	_exit(pid < 0 ? 1 : 0);
}

/*
 * The orphan goes to who adopts orphans. That shouldn't be us, who will be gone soon, and wait for
 * other children until then.
 */
static pid_t fork_twice(struct start *s, int ready)
{
	int adopts = 0, status;
	pid_t pid, keeper = 0;
	char end;

	prctl(PR_GET_CHILD_SUBREAPER, &adopts);
	if (adopts)
		prctl(PR_SET_CHILD_SUBREAPER, 0);
	pid = fork();
	if (pid == 0)
		intermediate(s);
	s->ready = fd_close(s->ready);
	if (pid < 0)
		keeper = -errno;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (adopts)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (keeper < 0)
		return keeper;
	if (io_read_full(ready, &keeper, sizeof(keeper)) < 0)
		return -EIO;
	(void)!read(ready, &end, 1); /* and its last inherited descriptor is closed */
	return keeper;
}

static int start(struct keeper *k, struct start *s, struct err *err)
{
	int ends[2];
	pid_t pid;

	TRY(collect_tasks(k, s, err));
	if (s->npolls == 0)
		return 0;
	TRY(write_state(k, s, err));
	find_args(s, k);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe for a keeper");
	auto_close int ready = ends[0];
	s->ready = ends[1];
	if (move_up(&s->ready) < 0)
		return err_sys(err, -EMFILE, "pipe for a keeper");
	list_kept(s);
	pid = fork_twice(s, ready);
	if (pid < 0)
		return err_sys(err, pid, "start a keeper");
	k->pidfd = sys_pidfd_open(pid, 0);
	if (k->pidfd < 0)
		return err_sys(err, k->pidfd, "the new keeper %d", pid);
	k->pid = pid;
	log_info("keeper %d holds the %s trackers of %zu processes", pid, tracker_name(k->kind),
		 s->npolls);
	return 0;
}

int keeper_start(struct keeper *k, struct err *err)
{
	struct start s = {.state_fd = -EBADF, .ready = -EBADF};
	size_t n = k->trackers.len;
	int r;

	if (k->pid)
		return err_bug(err, "keeper %d is running still", k->pid);
	(void)fd_limit_raise(); /* two for each task */
	s.state = xcalloc(1, sizeof(*s.state) + n * sizeof(s.state->tasks[0]));
	s.polls = xcalloc(n + 1, sizeof(*s.polls));
	r = start(k, &s, err);
	for (size_t i = 0; i < s.npolls; i++)
		fd_close(s.polls[i].fd);
	fd_close(s.state_fd);
	fd_close(s.ready);
	free(s.state);
	free(s.polls);
	free(s.kept);
	return r;
}
