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
#include "file/tty.h"
#include "file/reg.h"
#include "file/tty_io.h"

#include "base/io.h"
#include "base/log.h"
#include "file/path.h"
#include "image/schema/regfile.pb-c.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define TTY_MAJOR    4
#define TTYAUX_MAJOR 5

/* Disk values: numbers of terminals that aren't ptys. */
#define INDEX_CONSOLE 1002
#define INDEX_VT      1004
#define INDEX_CTTY    1006
#define INDEX_SERIAL  1010
/* A slave that was hung up: its number may be in use again by another. */
#define INDEX_HUNG_UP (1u << 24)

#define MAX_PTY (1u << 20) /* the kernel has no more minors for them */

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* since 4.13 */
#endif

/* ------------------------------------------------------------------ dump */

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
	if (!tty_find_end(f, end.id))
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

static bool is_outside(const struct files *f, const struct tty_end *e)
{
	return e->type == TTY_TYPE__PTY && !(e->id & 1) && (e->id >> 1) < INDEX_HUNG_UP &&
	       !tty_find_end(f, e->id | 1);
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
		if (!tty_is_own(f, o->t))
			TRY(refuse_outside(f, o, "/dev/tty", err));
	return 0;
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
	tty_find_session(f, end, &e);
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
	const struct tty_end *peer = tty_find_end(f, end->id & ~1u);
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
		if (e->type == TTY_TYPE__PTY && (!e->pty || e->pty->index > MAX_PTY))
			return err_input(err, "tty-info.img: terminal %u has no valid number",
					 e->id);
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
		t->fd = pty_open_master(f->root, t->reg ? rfile_name(t->reg) : "/dev/ptmx",
					t->e->pty->index, err);
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
		TRY(tty_set_foreground(t->peer, err));
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
