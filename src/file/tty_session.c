/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controlling terminals. Visible in /proc/PID/stat of every task: session, terminal (tty_nr) and
 * its foreground group (tpgid). A session leader takes one by TIOCSCTTY, and only children made
 * later inherit it; only the session itself may set the foreground group.
 */
#include "file/tty.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "remote/batch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* ------------------------------------------------------------------ dump */

struct tty_end *tty_find_end(const struct files *f, uint32_t id)
{
	if (f->ttys)
		vec_foreach (e, &f->ttys->ends)
			if (e->id == id)
				return e;
	return NULL;
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

bool tty_is_own(const struct files *f, const struct target *t)
{
	uint64_t session, tty;
	int64_t tpgid;

	read_stat(t, &session, &tty, &tpgid);
	return major(tty) >= PTY_SLAVE_MAJOR && major(tty) <= PTY_SLAVE_MAJOR_END &&
	       tty_find_end(f, ((major(tty) - PTY_SLAVE_MAJOR) * 256 + minor(tty)) << 1 | 1);
}

/* Whose controlling terminal it is. The master tells of its slave. */
void tty_find_session(const struct files *f, const struct tty_end *e, TtyInfoEntry *ret)
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

/* --------------------------------------------------------------- restore */

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
int tty_set_foreground(const struct rtty *t, struct err *err)
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
