/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals: what tty.c, tty_session.c and pty.c share. */
#pragma once

#include "file/kind.h"
#include "image/schema/tty.pb-c.h"

#define PTY_SLAVE_MAJOR	    136
#define PTY_SLAVE_MAJOR_END 143

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

struct tty_end *tty_find_end(const struct files *f, uint32_t id);
/* Is the controlling terminal of this task a pty whose master is in the tree? */
bool tty_is_own(const struct files *f, const struct target *t);
/* Session and foreground group of whoever in the tree has this terminal, into the entry. */
void tty_find_session(const struct files *f, const struct tty_end *e, TtyInfoEntry *ret);

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

/* A pty master with this number, for which the path is that of ptmx. */
MUST_USE int pty_open_master(int root, const char *path, uint32_t index, struct err *err);
/* The group that was in the foreground is so again, if the session has its terminal back. */
MUST_USE int tty_set_foreground(const struct rtty *t, struct err *err);
