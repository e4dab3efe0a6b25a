/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keepers seen from outside: finding, reading, ending. Starting one: keeper_run.c.
 *
 * A name can be had by anybody, so it is only where the search begins. A keeper is believed if the
 * process runs with exactly our uid, and has a sealed state of ours (magic, version, sizes) at the
 * agreed number. Who can forge that, could as well ptrace us. The pids in it are compared with the
 * start times of the processes that have them now, and a userfaultfd that isn't one of the program
 * in question can do no harm: nothing of that program is registered with it (track_uffd.c).
 */
#include "mem/keeper.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "mem/keeper_state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define END_MS 2000 /* SIGTERM is the end of it at once; this is for a machine that swaps */

/* A keeper as it is found. */
struct found {
	pid_t pid;
	int pidfd;
	struct keeper_state *state;
};

static void found_done(struct found *f)
{
	f->pidfd = fd_close(f->pidfd);
	free(f->state);
	f->state = NULL;
}

uint64_t keeper_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : st.st_ino;
}

/* ---------------------------------------------------------------- reading */

static bool is_ours(int proc)
{
	char status[4096];
	const char *uids;
	uint64_t uid;

	if (proc_read_small(proc, "status", status, sizeof(status)) < 0)
		return false;
	uids = proc_field(status, "Uid");
	for (int i = 0; uids && i < 4; i++)
		if (!scan_u64(&uids, 10, &uid) || uid != geteuid())
			return false;
	return uids;
}

static bool state_is_valid(const struct keeper_state *s, size_t size)
{
	return s->magic == KEEPER_MAGIC && s->version == KEEPER_VERSION &&
	       (s->kind == TRACKER_UFFD_WP || s->kind == TRACKER_SOFT_DIRTY) &&
	       s->ntasks <= KEEPER_TASKS && size == sizeof(*s) + s->ntasks * sizeof(s->tasks[0]) &&
	       memchr(s->run_id, 0, 37) && memchr(s->root_comm, 0, sizeof(s->root_comm));
}

/* Sealed, so that what has been checked stays as it is. NULL: not a state. */
static struct keeper_state *read_state(int fd)
{
	const size_t most = sizeof(struct keeper_state) + KEEPER_TASKS * sizeof(struct keeper_task);
	int seals = fcntl(fd, F_GET_SEALS);
	struct keeper_state *s;
	struct stat st;
	size_t size;

	if (seals < 0 || (seals & KEEPER_SEALS) != KEEPER_SEALS || fstat(fd, &st) < 0)
		return NULL;
	size = (size_t)st.st_size;
	if (size < sizeof(*s) || size > most)
		return NULL;
	s = xcalloc(1, size);
	if (io_pread_full(fd, s, size, 0) >= 0 && state_is_valid(s, size))
		return s;
	free(s);
	return NULL;
}

/* Is this process a keeper whose pids mean something to us? */
static bool look_at(pid_t pid, struct found *ret)
{
	char path[32], comm[256];
	auto_close int proc = -EBADF, fd = -EBADF;
	struct found f = {.pid = pid, .pidfd = -EBADF};

	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || proc_read_small(proc, "comm", comm, sizeof(comm)) < 0 ||
	    strcmp(comm, KEEPER_COMM "\n") != 0)
		return false;
	f.pidfd = sys_pidfd_open(pid, 0);
	if (f.pidfd < 0)
		return false;
	/* The process behind the pidfd is the one behind `proc` if that one is alive still. */
	fd = sys_pidfd_getfd(f.pidfd, KEEPER_STATE_FD);
	f.state = fd < 0 || !is_ours(proc) ? NULL : read_state(fd);
	if (!f.state || f.state->pid_ns != keeper_pid_ns()) {
		found_done(&f);
		return false;
	}
	*ret = f;
	return true;
}

static int find_all(int (*fn)(void *ctx, struct found *f, struct err *err), void *ctx,
		    struct err *err)
{
	auto_ids struct proc_ids ids = {0};
	int r = proc_list_dir(AT_FDCWD, "/proc", &ids);

	if (r < 0)
		return err_sys(err, r, "list /proc");
	vec_foreach (pid, &ids) {
		struct found f;

		if (!look_at(*pid, &f))
			continue;
		r = fn(ctx, &f, err);
		found_done(&f);
		TRY(r);
	}
	return 0;
}

/* ----------------------------------------------------------------- ending */

static bool has_ended(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int r;

	do {
		r = poll(&p, 1, timeout_ms);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

static void end_process(pid_t pid, int pidfd)
{
	(void)sys_pidfd_send_signal(pidfd, SIGTERM); /* or it has ended already */
	if (has_ended(pidfd, END_MS))
		return;
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (!has_ended(pidfd, END_MS))
		log_warn("keeper %d doesn't end", pid);
}

void keeper_end(struct keeper *k)
{
	if (!k->pid)
		return;
	end_process(k->pid, k->pidfd);
	log_debug("keeper %d has ended", k->pid);
	k->pidfd = fd_close(k->pidfd);
	k->pid = 0;
}

/* ---------------------------------------------------------------- finding */

static bool start_time_of(pid_t pid, uint64_t *ret)
{
	char path[32];
	struct proc_stat st;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (proc_read_stat(AT_FDCWD, path, &st) < 0 || st.state == 'Z' || st.state == 'X')
		return false;
	*ret = st.start_time;
	return true;
}

static bool task_lives(const struct keeper_task *t)
{
	uint64_t now;

	return start_time_of(t->pid, &now) && now == t->start_time;
}

static const struct keeper_task *task_of(const struct keeper_state *s, pid_t pid)
{
	for (uint32_t i = 0; i < s->ntasks; i++)
		if (s->tasks[i].pid == pid)
			return &s->tasks[i];
	return NULL;
}

static void fill(struct keeper *k, const struct keeper_state *s)
{
	k->root = s->root;
	k->kind = (enum tracker_kind)s->kind;
	memcpy(k->root_comm, s->root_comm, sizeof(k->root_comm));
	memcpy(k->run_id, s->run_id, sizeof(k->run_id));
}

static void add_tracker(struct keeper *k, const struct keeper_task *t, int fd)
{
	struct tracker *tr = xcalloc(1, sizeof(*tr));

	*tr = (struct tracker){
		.kind = k->kind, .pid = t->pid, .start_time = t->start_time, .fd = fd};
	*vec_push(&k->trackers) = tr;
}

/* One that dies meanwhile has no descriptors to give; its tasks are unknown then. */
static void take_trackers(struct keeper *k, const struct keeper_state *s)
{
	for (uint32_t i = 0; i < s->ntasks; i++) {
		const struct keeper_task *t = &s->tasks[i];
		int fd = -EBADF;

		if (!task_lives(t))
			continue;
		if (t->fd >= 0) {
			fd = sys_pidfd_getfd(k->pidfd, t->fd);
			if (fd < 0) {
				log_debug("keeper %d has no tracker for pid %d: %s", k->pid, t->pid,
					  strerror(-fd));
				continue;
			}
		}
		add_tracker(k, t, fd);
	}
}

struct search {
	pid_t root;
	struct found best;
};

/* Keeps the newer of two; the other one has no place any more. */
static int consider(void *ctx, struct found *f, struct err *err)
{
	struct search *s = ctx;
	const struct keeper_task *t = task_of(f->state, s->root);
	struct found loser = *f;

	if (!t || !task_lives(t))
		return 0;
	if (s->best.state && s->best.state->born_ns > f->state->born_ns) {
		end_process(loser.pid, loser.pidfd);
		log_warn("keeper %d was one too many for pid %d", loser.pid, s->root);
		return 0;
	}
	loser = s->best;
	s->best = *f;
	f->pidfd = -EBADF; /* taken over */
	f->state = NULL;
	if (loser.state) {
		end_process(loser.pid, loser.pidfd);
		log_warn("keeper %d was one too many for pid %d", loser.pid, s->root);
		found_done(&loser);
	}
	return 0;
}

int keeper_find(pid_t root, struct keeper *ret, struct err *err)
{
	struct search s = {.root = root, .best.pidfd = -EBADF};
	struct keeper k = {0};
	int r = find_all(consider, &s, err);

	if (r < 0 || !s.best.state) {
		found_done(&s.best);
		*ret = k;
		return r;
	}
	k.pid = s.best.pid;
	k.pidfd = TAKE_FD(s.best.pidfd);
	fill(&k, s.best.state);
	take_trackers(&k, s.best.state);
	found_done(&s.best);
	log_debug("keeper %d has %zu %s trackers, for images %s", k.pid, k.trackers.len,
		  tracker_name(k.kind), k.run_id);
	*ret = k;
	return 1;
}

void keeper_done(struct keeper *k)
{
	vec_foreach (t, &k->trackers)
		tracker_free(*t);
	vec_done(&k->trackers);
	if (k->pid)
		k->pidfd = fd_close(k->pidfd);
	k->pid = 0;
}

struct tracker *keeper_tracker(const struct keeper *k, const struct target *t)
{
	struct proc_stat st;

	if (proc_read_stat(t->proc, "stat", &st) < 0)
		return NULL;
	vec_foreach (tr, &k->trackers) {
		if ((*tr)->pid != t->pid || (*tr)->start_time != st.start_time)
			continue;
		return tracker_is_stale(*tr) ? NULL : *tr;
	}
	return NULL;
}

/* ---------------------------------------------------------------- showing */

struct show {
	void (*fn)(void *ctx, const struct keeper *k);
	void *ctx;
};

static int show_one(void *ctx, struct found *f, struct err *err)
{
	const struct show *s = ctx;
	struct keeper k = {.pid = f->pid, .pidfd = f->pidfd};

	fill(&k, f->state);
	for (uint32_t i = 0; i < f->state->ntasks; i++)
		if (task_lives(&f->state->tasks[i]))
			add_tracker(&k, &f->state->tasks[i], -EBADF);
	s->fn(s->ctx, &k);
	k.pid = 0; /* the pidfd isn't ours to close */
	keeper_done(&k);
	return 0;
}

int keeper_each(void (*fn)(void *ctx, const struct keeper *k), void *ctx, struct err *err)
{
	struct show s = {fn, ctx};

	return find_all(show_one, &s, err);
}
