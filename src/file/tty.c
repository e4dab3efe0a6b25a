/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals: pty pairs inside the tree, the terminal of a shell job, /dev/tty, consoles.
 *
 * Visible: which terminal (rdev; TIOCGPTN of a master), modes, size and locks by ioctl, session and
 * foreground group in /proc/PID/stat of whoever has it as controlling terminal. Queued bytes:
 * tty_io.c. Files of one terminal end share an entry of tty-info.img.
 *
 * A slave whose master isn't in the tree is the terminal of a shell job: it needs --shell-job, and
 * becomes the terminal that the restoring torpor runs on. A pair inside the tree is made anew with
 * the same number; the session leader takes it as its controlling terminal before it has children,
 * who inherit it (rfiles_take_terminal).
 */
#include "file/reg.h"
#include "file/tty_io.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "file/path.h"
#include "image/schema/regfile.pb-c.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#define TTY_MAJOR	    4
#define TTYAUX_MAJOR	    5
#define PTY_SLAVE_MAJOR	    136
#define PTY_SLAVE_MAJOR_END 143

/* Disk values: numbers of terminals that aren't ptys. */
#define INDEX_CONSOLE 1002
#define INDEX_VT      1004
#define INDEX_CTTY    1006
#define INDEX_SERIAL  1010
/* A slave that was hung up: its number may be in use again by another. */
#define INDEX_HUNG_UP (1u << 24)

#define PTY_TRIES 500 /* of 2 ms */

typedef VEC(int) int_vec;

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* since 4.13 */
#endif

/* ------------------------------------------------------------------ dump */

struct tty_end {
	uint32_t id; /* index << 1 | is_master */
	TtyType type;
	struct origin o;
	struct stat st;
};
struct ttys {
	VEC(struct tty_end) ends;
	VEC(struct origin) cttys; /* who has /dev/tty open: another one in each session */
};

static bool tty_match(struct files *f, const struct fdesc *d)
{
	unsigned int maj = major(d->st.st_rdev);

	(void)f;
	if (!S_ISCHR(d->st.st_mode) || (d->info.flags & O_PATH))
		return false;
	return maj == TTY_MAJOR || (maj == TTYAUX_MAJOR && minor(d->st.st_rdev) <= 2) ||
	       (maj >= PTY_SLAVE_MAJOR && maj <= PTY_SLAVE_MAJOR_END) || isatty(d->local);
}

/* The numbers in which the image knows it. */
static int identify(const struct fdesc *d, struct tty_end *ret, struct err *err)
{
	unsigned int maj = major(d->st.st_rdev), min = minor(d->st.st_rdev), index;
	bool master = false;

	ret->type = TTY_TYPE__PTY;
	if (maj == TTYAUX_MAJOR && min == 2) {
		master = true;
		if (ioctl(d->local, TIOCGPTN, &index) < 0)
			return err_sys(err, -errno, "%s: ioctl(TIOCGPTN)", d->name);
	} else if (maj >= PTY_SLAVE_MAJOR && maj <= PTY_SLAVE_MAJOR_END) {
		index = (maj - PTY_SLAVE_MAJOR) * 256 + min;
		if (path_deleted_len(d->name))
			index += INDEX_HUNG_UP;
	} else if (maj == TTYAUX_MAJOR && min == 0) {
		ret->type = TTY_TYPE__CTTY;
		index = INDEX_CTTY;
	} else if (maj == TTYAUX_MAJOR && min == 1) {
		ret->type = TTY_TYPE__CONSOLE;
		index = INDEX_CONSOLE;
	} else if (maj == TTY_MAJOR && min < 64) {
		ret->type = TTY_TYPE__VT;
		index = INDEX_VT + (min << 12); /* one number for each */
	} else {
		ret->type = TTY_TYPE__SERIAL;
		index = INDEX_SERIAL + (maj << 20) + (min << 12);
	}
	ret->id = index << 1 | master;
	return 0;
}

static struct tty_end *find_end(const struct files *f, uint32_t id)
{
	if (f->ttys)
		vec_foreach (e, &f->ttys->ends)
			if (e->id == id)
				return e;
	return NULL;
}

/* A slave that was hung up has lost its name; it gets none in the image that could be looked up. */
static int dump_reg(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	RegFileEntry *e;

	if (!path_deleted_len(d->name))
		return reg_dump_as(f, d, id, err);
	e = arena_new_of(f->a, RegFileEntry);
	reg_file_entry__init(e);
	e->id = id;
	e->flags = d->info.flags;
	e->fown = files_fown(f, &d->fown);
	e->name = arena_printf(f->a, "%.*s", (int)path_deleted_len(d->name), d->name);
	e->has_mode = true;
	e->mode = d->st.st_mode;
	files_entry(f, FD_TYPES__REG, id)->reg = e;
	return 0;
}

static int tty_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	TtyFileEntry *e = arena_new_of(f->a, TtyFileEntry);
	struct tty_end end = {.o = d->o, .st = d->st};

	TRY(identify(d, &end, err));
	if (end.type != TTY_TYPE__PTY && end.type != TTY_TYPE__CTTY && !f->opts.shell_job)
		return err_refuse(err,
				  "pass --shell-job to take the terminal of the restoring shell",
				  "%s is a terminal from outside of the tree", d->name);
	if (!f->ttys)
		f->ttys = arena_new_of(f->a, struct ttys);
	if (!find_end(f, end.id))
		*vec_push(&f->ttys->ends) = end;
	if (end.type == TTY_TYPE__CTTY)
		*vec_push(&f->ttys->cttys) = d->o;
	tty_file_entry__init(e);
	e->id = id;
	e->tty_info_id = end.id;
	e->flags = d->info.flags;
	e->fown = files_fown(f, &d->fown);
	e->has_regf_id = true;
	e->regf_id = files_new_id(f);
	TRY(dump_reg(f, d, e->regf_id, err));
	files_entry(f, FD_TYPES__TTY, id)->tty = e;
	return 0;
}

/* /proc/PID/stat behind the comm: state ppid pgrp session tty_nr tpgid. */
static void read_stat(const struct target *t, uint64_t *session, uint64_t *tty, int64_t *tpgid)
{
	auto_free char *text = NULL;
	int64_t v[6] = {0};
	const char *p;
	char state[4];

	*session = *tty = 0;
	*tpgid = 0;
	if (io_read_file(t->proc, "stat", &text, NULL) < 0 || !(p = strrchr(text, ')')))
		return;
	p++;
	if (!scan_word(&p, state, sizeof(state)))
		return;
	for (int i = 0; i < 5; i++)
		if (!scan_i64(&p, 10, &v[i]))
			return;
	*session = (uint64_t)v[2];
	*tty = (uint64_t)v[3];
	*tpgid = v[4];
}

static bool is_outside(const struct files *f, const struct tty_end *e)
{
	return e->type == TTY_TYPE__PTY && !(e->id & 1) && (e->id >> 1) < INDEX_HUNG_UP &&
	       !find_end(f, e->id | 1);
}

/* Is the controlling terminal of this task a pty whose master is in the tree? */
static bool has_own_terminal(const struct files *f, const struct target *t)
{
	uint64_t session, tty;
	int64_t tpgid;

	read_stat(t, &session, &tty, &tpgid);
	return major(tty) >= PTY_SLAVE_MAJOR && major(tty) <= PTY_SLAVE_MAJOR_END &&
	       find_end(f, ((major(tty) - PTY_SLAVE_MAJOR) * 256 + minor(tty)) << 1 | 1);
}

static int refuse_outside(struct files *f, const struct origin *o, const char *name,
			  struct err *err)
{
	err_refuse(err, "pass --shell-job to take the terminal of the restoring shell",
		   "pid %d (%s): fd %d: %s is a terminal whose other end is outside of the tree",
		   o->t->pid, o->t->comm, o->fd.n, name);
	return files_refuse_or_report(f, err);
}

static int tty_collected(struct files *f, struct err *err)
{
	char name[32];

	if (!f->ttys || f->opts.shell_job)
		return 0;
	vec_foreach (e, &f->ttys->ends) {
		snprintf(name, sizeof(name), "/dev/pts/%u", e->id >> 1);
		if (is_outside(f, e))
			TRY(refuse_outside(f, &e->o, name, err));
	}
	vec_foreach (o, &f->ttys->cttys)
		if (!has_own_terminal(f, o->t))
			TRY(refuse_outside(f, o, "/dev/tty", err));
	return 0;
}

/* Whose controlling terminal it is. The master tells of its slave. */
static void find_session(const struct files *f, const struct tty_end *e, TtyInfoEntry *ret)
{
	dev_t rdev = e->st.st_rdev;

	if (e->type == TTY_TYPE__CTTY)
		return;
	if (e->id & 1)
		rdev = makedev(PTY_SLAVE_MAJOR, e->id >> 1);
	vec_foreach (t, &f->tasks) {
		uint64_t session, tty;
		int64_t tpgid;

		read_stat(*t, &session, &tty, &tpgid);
		if (tty == 0 || tty != rdev)
			continue;
		ret->sid = (uint32_t)session;
		ret->pgrp = tpgid > 0 ? (uint32_t)tpgid : 0;
		return;
	}
}

static int write_info(struct files *f, struct img_writer *w, const struct tty_end *end,
		      struct err *err)
{
	TtyInfoEntry e = TTY_INFO_ENTRY__INIT;
	TtyPtyEntry pty = TTY_PTY_ENTRY__INIT;
	auto_close int fd = origin_open(&end->o, err);

	if (fd < 0)
		return fd;
	e.id = end->id;
	e.type = end->type;
	e.rdev = (uint32_t)end->st.st_rdev;
	e.has_dev = e.has_uid = e.has_gid = true;
	e.dev = (uint32_t)end->st.st_dev;
	e.uid = end->st.st_uid;
	e.gid = end->st.st_gid;
	if (end->type == TTY_TYPE__PTY) {
		pty.index = (end->id >> 1) & (INDEX_HUNG_UP - 1);
		e.pty = &pty;
	}
	find_session(f, end, &e);
	if (!tty_query(f, fd, end->id & 1, &e))
		log_debug("terminal %u was hung up", end->id);
	return img_put(w, &e.base, err);
}

static int put_data(struct img_writer *w, uint32_t id, uint8_t *buf, size_t len, struct err *err)
{
	TtyDataEntry e = TTY_DATA_ENTRY__INIT;

	if (!len)
		return 0;
	e.tty_id = id;
	e.data = (ProtobufCBinaryData){.len = len, .data = buf};
	return img_put(w, &e.base, err);
}

/* Only where both ends are in the tree: then nobody else reads or writes meanwhile. */
static int write_data(struct files *f, struct img_writer *w, const struct tty_end *end,
		      struct err *err)
{
	const struct tty_end *peer = find_end(f, end->id & ~1u);
	struct tty_queues *q;
	auto_close int master = -EBADF, slave = -EBADF;

	if (!(end->id & 1) || !peer)
		return 0;
	master = origin_open(&end->o, err);
	if (master < 0)
		return master;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (slave < 0)
		return err_sys(err, -errno, "open /dev/pts/%u", end->id >> 1);
	q = arena_new_of(f->a, struct tty_queues);
	TRY(tty_peek(master, slave, q, err));
	TRY(put_data(w, end->id, q->to_master, q->nto_master, err));
	return put_data(w, peer->id, q->to_slave, q->nto_slave, err);
}

static int tty_dump_finish(struct files *f, struct mem_stats *stats, struct err *err)
{
	auto_img_writer struct img_writer *info = NULL, *data = NULL;

	(void)stats;
	TRY(img_create(f->dir, IMG_TTY_INFO, 0, &info, err));
	TRY(img_create(f->dir, IMG_TTY_DATA, 0, &data, err));
	if (f->ttys) {
		vec_foreach (e, &f->ttys->ends) {
			if (write_info(f, info, e, err) < 0 || write_data(f, data, e, err) < 0)
				return err_in(err, "pid %d (%s): fd %d", e->o.t->pid, e->o.t->comm,
					      e->o.fd.n);
		}
	}
	TRY(img_close(TAKE_PTR(info), err));
	return img_close(TAKE_PTR(data), err);
}

static void tty_dump_done(struct files *f)
{
	if (!f->ttys)
		return;
	vec_done(&f->ttys->ends);
	vec_done(&f->ttys->cttys);
}

/* --------------------------------------------------------------- restore */

struct rtty {
	uint32_t id;
	const TtyInfoEntry *e;
	struct rtty *peer;	  /* the other end; NULL: not in the images */
	struct rfile *reg;	  /* path carrier of one of its files */
	const TtyDataEntry *data; /* readable at this end */
	struct target *leader;	  /* took it as controlling terminal */
	bool master_given;
	int fd; /* ours: the master; a slave; for outside ones torpor's own terminal */
};
struct rttys {
	VEC(struct rtty) all;
};

static struct rtty *find(const struct rfiles *f, uint32_t id)
{
	vec_foreach (t, &f->ttys->all)
		if (t->id == id)
			return t;
	return NULL;
}

static int load_infos(struct rfiles *f, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	TtyInfoEntry *e;
	int r;

	TRY(img_open(f->dir, IMG_TTY_INFO, 0, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0) {
		TRY(tty_check_entry(e, err));
		if (find(f, e->id))
			return err_input(err, "tty-info.img: terminal %u appears twice", e->id);
		if (e->type == TTY_TYPE__PTY && !e->pty)
			return err_input(err, "tty-info.img: terminal %u has no number", e->id);
		if (e->type == TTY_TYPE__UNKNOWN || e->type == TTY_TYPE__EXT_TTY ||
		    e->type > TTY_TYPE__SERIAL)
			return err_refuse(err, "restore it with an engine that supports it",
					  "tty-info.img: terminal %u is of type %d", e->id,
					  (int)e->type);
		*vec_push(&f->ttys->all) = (struct rtty){.id = e->id, .e = e, .fd = -EBADF};
	}
	return r;
}

static int load_data(struct rfiles *f, struct err *err)
{
	auto_img_reader struct img_reader *rd = NULL;
	TtyDataEntry *e;
	int r;

	TRY(img_open(f->dir, IMG_TTY_DATA, 0, &rd, err));
	while ((r = img_get(rd, f->a, &e, err)) > 0) {
		struct rtty *t = find(f, e->tty_id);

		if (!t || t->data || e->data.len > TTY_QUEUE_MAX)
			return err_input(err,
					 "tty-data.img: terminal %u: unknown, twice, or too much",
					 e->tty_id);
		t->data = e;
	}
	return r;
}

static int tty_load_all(struct rfiles *f, struct err *err)
{
	f->ttys = arena_new_of(f->a, struct rttys);
	TRY(load_infos(f, err));
	vec_foreach (t, &f->ttys->all)
		if (t->e->type == TTY_TYPE__PTY)
			t->peer = find(f, t->id ^ 1);
	return load_data(f, err);
}

static int tty_load(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const TtyFileEntry *e = rf->e->tty;

	if (!e || e->id != rf->id)
		return err_input(err, "no tty_file_entry with this id");
	rf->priv = find(f, e->tty_info_id);
	if (!rf->priv)
		return err_input(err, "terminal %u isn't in tty-info.img", e->tty_info_id);
	rf->flags = e->flags;
	return rfile_load_fown(rf, e->fown, err);
}

static bool is_pair(const struct rtty *t)
{
	return t->e->type == TTY_TYPE__PTY && (t->id & 1);
}
/* The slave of nobody: the terminal of a shell job. */
static bool is_orphan(const struct rtty *t)
{
	return t->e->type == TTY_TYPE__PTY && !(t->id & 1) && !t->peer;
}
static bool is_hung_up(const struct rtty *t)
{
	return is_orphan(t) && !t->e->termios;
}

static int tty_link(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const TtyFileEntry *e = rf->e->tty;
	struct rtty *t = rf->priv;

	if (e->has_regf_id)
		TRY(rfiles_get(f, e->regf_id, FD_TYPES__REG, "terminal", &t->reg, err));
	if (is_orphan(t) && !is_hung_up(t) && !f->opts.shell_job)
		return err_refuse(err, "pass --shell-job to take the terminal that torpor runs on",
				  "the tree ran on a terminal from outside, /dev/pts/%u",
				  t->e->pty->index);
	if (!is_orphan(t) && !t->reg)
		return err_input(err, "terminal %u has no path", t->id);
	return 0;
}

/* The terminal that torpor was started on. */
static int own_terminal(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fd_dup_above(fd, 3);
	return -ENOTTY;
}

/* Opens one more master: its number, or negative errno. */
static int open_next(int root, const char *path, int *ret_fd)
{
	int fd = openat(root, path_rel(path), O_RDWR | O_NOCTTY | O_CLOEXEC);
	unsigned int n;

	if (fd < 0 || ioctl(fd, TIOCGPTN, &n) < 0) {
		int r = -errno;

		fd_close(fd);
		return r;
	}
	*ret_fd = fd;
	return (int)n;
}

/*
 * A master with the number `index`. The kernel hands out the lowest free one, so all below it are
 * taken first. A number becomes free only some time after the last close (a kernel worker does it),
 * so if a higher one comes, ours may be about to: it is waited for a little.
 */
static int find_master(int root, const char *path, int index, int_vec *lower)
{
	const struct timespec step = {.tv_nsec = 2000000};

	for (int tries = 0; tries < PTY_TRIES;) {
		int fd, n = open_next(root, path, &fd);

		if (n < 0)
			return n;
		if (n == index)
			return fd;
		if (n < index) {
			*vec_push(lower) = fd;
			continue;
		}
		fd_close(fd);
		nanosleep(&step, NULL);
		tries++;
	}
	return -EBUSY;
}

static int open_master(struct rfiles *f, const char *path, uint32_t index, struct err *err)
{
	int_vec lower = {0};
	int r = find_master(f->root, path, (int)index, &lower);

	vec_foreach (fd, &lower)
		fd_close(*fd);
	vec_done(&lower);
	if (r == -EBUSY)
		return err_refuse(err, "close that terminal and restore again",
				  "the tree had the terminal /dev/pts/%u, which is in use now",
				  index);
	return r < 0 ? err_sys(err, r, "open %s for terminal %u", path, index) : r;
}

static int make_slave(struct rtty *t, struct err *err)
{
	struct rtty *slave = t->peer;
	mode_t mode;

	slave->fd = ioctl(t->fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave->fd < 0)
		return err_sys(err, -errno, "open /dev/pts/%u", slave->e->pty->index);
	if (slave->e->has_uid && fchown(slave->fd, slave->e->uid, slave->e->gid) < 0)
		return err_sys(err, -errno, "give /dev/pts/%u to uid %u", slave->e->pty->index,
			       slave->e->uid);
	mode = slave->reg && slave->reg->e->reg->has_mode ? slave->reg->e->reg->mode : 0;
	if (mode && fchmod(slave->fd, mode & 07777) < 0)
		return err_sys(err, -errno, "set the mode of /dev/pts/%u", slave->e->pty->index);
	return 0;
}

/* All pairs, before anybody may want one as controlling terminal. */
static int tty_prepare(struct rfiles *f, struct err *err)
{
	vec_foreach (t, &f->ttys->all) {
		int unlock = 0;

		if (!is_pair(t))
			continue;
		t->fd = open_master(f, t->reg ? rfile_name(t->reg) : "/dev/ptmx", t->e->pty->index,
				    err);
		if (t->fd < 0)
			return t->fd;
		if (ioctl(t->fd, TIOCSPTLCK, &unlock) < 0)
			return err_sys(err, -errno, "unlock /dev/pts/%u", t->e->pty->index);
		if (t->peer)
			TRY(make_slave(t, err));
	}
	return 0;
}

/* A slave without a master: what is left of a terminal that is gone. */
static int open_hung_up(struct rtty *t, int flags, struct err *err)
{
	auto_close int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0, fd;

	(void)t;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_sys(err, -errno, "open /dev/ptmx");
	fd = ioctl(master, TIOCGPTPEER, flags | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, -errno, "open a terminal") : fd;
}

/* /dev/tty means another terminal in each session: only the task can open it. */
static int open_in_task(struct target *t, uint32_t flags, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	int64_t ret;
	size_t i;
	int fd;

	i = batch_call(b, SYS_openat, (uint64_t)AT_FDCWD, batch_str(b, "/dev/tty").va,
		       (uint64_t)flags | O_NOCTTY);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, i, err));
	fd = target_get_fd(t, (struct tfd){(int)batch_ret(b, i)}, err);
	TRY(remote_call(target_leader(t), &ret, err, SYS_close, (uint64_t)batch_ret(b, i)));
	return fd;
}

static int open_own(struct rtty *t, uint32_t flags, struct err *err)
{
	int fd;

	if (t->fd < 0) {
		fd = own_terminal();
		if (fd < 0) {
			err_sys(err, fd, "the tree ran on a terminal, and torpor runs on none");
			return err_hint(err, "start torpor on a terminal");
		}
		t->fd = fd;
	}
	fd = fd_reopen(t->fd, (int)flags | O_NOCTTY);
	return fd < 0 ? err_sys(err, fd, "open the terminal that torpor runs on") : fd;
}

static int tty_open(struct rfiles *f, struct rfile *rf, struct target *task, struct err *err)
{
	uint32_t flags = rf->flags & ~(uint32_t)O_ASYNC;
	struct rtty *t = rf->priv;
	int fd;

	if (t->e->type == TTY_TYPE__CTTY)
		return open_in_task(task, flags, err);
	if (is_hung_up(t))
		return open_hung_up(t, (int)flags, err);
	if (is_orphan(t))
		return open_own(t, flags, err);
	if (t->e->type != TTY_TYPE__PTY)
		return reg_open_as(f, t->reg, flags | O_NONBLOCK, err);
	if (t->id & 1) {
		if (t->master_given)
			return err_input(err, "pty master %u was opened twice", t->e->pty->index);
		t->master_given = true;
		fd = fd_dup_above(t->fd, 3);
	} else {
		fd = fd_reopen(t->fd, (int)flags | O_NOCTTY);
	}
	return fd < 0 ? err_sys(err, fd, "open /dev/pts/%u", t->e->pty->index) : fd;
}

int rfiles_take_terminal(struct rfiles *f, struct target *task, struct err *err)
{
	struct rtty *t = NULL;
	auto_batch struct batch *b = NULL;
	char path[32];
	size_t fd, i;

	vec_foreach (it, &f->ttys->all)
		if (!(it->id & 1) && it->peer && it->e->sid == (uint32_t)task->vpid)
			t = it;
	if (!t)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), t->fd);
	b = batch_new(target_leader(task));
	fd = batch_call(b, SYS_openat, (uint64_t)AT_FDCWD, batch_str(b, path).va,
			O_RDWR | O_NOCTTY);
	batch_must(b, fd);
	i = batch_call(b, SYS_ioctl, 0, TIOCSCTTY, 0);
	batch_arg_ret(b, i, 0, fd);
	i = batch_call(b, SYS_close, 0);
	batch_arg_ret(b, i, 0, fd);
	if (batch_run(b, err) < 0 || batch_expect(b, fd, err) < 0 ||
	    batch_expect(b, i - 1, err) < 0)
		return err_in(err, "pid %d takes /dev/pts/%u as its terminal", task->vpid,
			      t->e->pty->index);
	t->leader = task;
	return 0;
}

/* The foreground group: only the session itself may set it. SIGTTOU is blocked in half-made tasks.
 */
static int set_foreground(const struct rtty *t, struct err *err)
{
	auto_batch struct batch *b = NULL;
	raddr_t pgrp;
	size_t fd, i;
	int32_t value = (int32_t)t->e->pgrp;

	if (!t->leader || !t->e->pgrp)
		return 0;
	b = batch_new(target_leader(t->leader));
	fd = batch_call(b, SYS_openat, (uint64_t)AT_FDCWD, batch_str(b, "/dev/tty").va,
			O_RDWR | O_NOCTTY);
	batch_must(b, fd);
	pgrp = batch_put(b, &value, sizeof(value));
	i = batch_call(b, SYS_ioctl, 0, TIOCSPGRP, pgrp.va);
	batch_arg_ret(b, i, 0, fd);
	i = batch_call(b, SYS_close, 0);
	batch_arg_ret(b, i, 0, fd);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, fd, err));
	if (batch_ret(b, i - 1) < 0)
		log_warn("terminal /dev/pts/%u: its foreground group %d is gone", t->e->pty->index,
			 value);
	return 0;
}

static void take_data(const struct rtty *t, uint8_t *buf, size_t *len)
{
	if (t && t->data) {
		memcpy(buf, t->data->data.data, t->data->data.len);
		*len = t->data->data.len;
	}
}

static int finish_pair(struct rfiles *f, struct rtty *t, struct err *err)
{
	const TtyInfoEntry *e = t->e;
	int fd = t->peer ? t->peer->fd : t->fd, on = 1;

	if (t->peer && (t->data || t->peer->data)) {
		struct tty_queues *q = arena_new_of(f->a, struct tty_queues);

		take_data(t, q->to_master, &q->nto_master);
		take_data(t->peer, q->to_slave, &q->nto_slave);
		TRY(tty_fill(t->fd, t->peer->fd, q, err));
	}
	TRY(tty_set_modes(fd, t->peer && t->peer->e->termios ? t->peer->e : e, err));
	TRY(tty_set_size(t->fd, e, err));
	if (t->peer)
		TRY(set_foreground(t->peer, err));
	if (e->packet_mode && ioctl(t->fd, TIOCPKT, &on) < 0)
		return err_sys(err, -errno, "terminal %u: set packet mode", e->id);
	if (t->peer && t->peer->e->exclusive && ioctl(t->peer->fd, TIOCEXCL) < 0)
		return err_sys(err, -errno, "terminal %u: make it exclusive", e->id);
	if (e->locked && ioctl(t->fd, TIOCSPTLCK, &on) < 0)
		return err_sys(err, -errno, "terminal %u: lock it", e->id);
	return 0;
}

static bool has_group(const struct rfiles *f, uint32_t pgid)
{
	vec_foreach (fs, &f->fs)
		if (fs->pgid == pgid)
			return true;
	return false;
}

/*
 * The terminal of the job gets the modes that the program had set (a shell sets its own when the
 * job is gone), and the group of the tree that was in the foreground is so again, as if the shell
 * had started it there. But only if torpor itself is in the foreground: else the terminal belongs
 * to somebody else.
 */
static int finish_own(const struct rfiles *f, const struct rtty *t, struct err *err)
{
	if (t->fd < 0 || tcgetpgrp(t->fd) != getpgrp())
		return 0;
	TRY(tty_set_modes(t->fd, t->e, err));
	if (has_group(f, t->e->pgrp) && tcsetpgrp(t->fd, (pid_t)t->e->pgrp) < 0)
		log_debug("group %u doesn't get the terminal: it is in another session",
			  t->e->pgrp);
	return 0;
}

static int tty_finish(struct rfiles *f, struct err *err)
{
	vec_foreach (t, &f->ttys->all) {
		if (is_pair(t))
			TRY(finish_pair(f, t, err));
		else if (is_orphan(t))
			TRY(finish_own(f, t, err));
	}
	return 0;
}

static void tty_done(struct rfiles *f)
{
	if (!f->ttys)
		return;
	vec_foreach (t, &f->ttys->all)
		t->fd = fd_close(t->fd);
	vec_done(&f->ttys->all);
}

static void tty_describe(const struct rfile *rf, char *buf, size_t size)
{
	const struct rtty *t = rf->priv;

	if (is_orphan(t))
		snprintf(buf, size, "%s", is_hung_up(t) ? "hung up" : "the one torpor runs on");
	else if (t->e->type == TTY_TYPE__PTY)
		snprintf(buf, size, "%s of /dev/pts/%u", t->id & 1 ? "master" : "slave",
			 t->e->pty->index);
	else
		snprintf(buf, size, "%s", rfile_name(t->reg));
}

const struct file_kind tty_kind = {
	.type = FD_TYPES__TTY,
	.name = "terminal",
	.match = tty_match,
	.dump = tty_dump,
	.collected = tty_collected,
	.dump_finish = tty_dump_finish,
	.dump_done = tty_dump_done,
	.load_all = tty_load_all,
	.load = tty_load,
	.link = tty_link,
	.prepare = tty_prepare,
	.open = tty_open,
	.finish = tty_finish,
	.describe = tty_describe,
	.done = tty_done,
};
