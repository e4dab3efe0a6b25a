/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all descriptors share: the facts that /proc/PID/fd, /proc/PID/fdinfo and fcntl show of one,
 * and how flags, owner and position come back.
 */
#pragma once

#include "base/arena.h"
#include "base/auto.h"
#include "remote/target.h"

#include <sys/stat.h>

/* Newer than, or not in, the C library's <fcntl.h>. */
#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17 /* since 3.6, CONFIG_CHECKPOINT_RESTORE */
#endif
/* Kernel values; the C library hides them or defines them as 0 on 64 bit. */
#define KERNEL_O_LARGEFILE 0100000u
#define KERNEL_O_TMPFILE   020000000u /* without the O_DIRECTORY that O_TMPFILE adds */

/* Who gets SIGIO. Ids as the owner's own namespaces see them; pid 0: nobody. */
struct fown {
	uint32_t uid, euid, signum, pid_type, pid;
};

/* The fixed part of /proc/PID/fdinfo/N. */
struct fdinfo {
	uint64_t pos;
	uint32_t flags; /* without O_CLOEXEC */
	bool cloexec;
	int mnt_id; /* -1: not shown */
};
/* 0, or -EINVAL if a line that every kernel shows is missing or broken. */
MUST_USE int fdinfo_parse(const char *text, struct fdinfo *ret);
/* The text behind "name:" and its blanks, up to the end of everything; NULL if there is none. */
const char *fdinfo_field(const char *text, const char *name);

/*
 * One open file as a dump meets it: a descriptor, a mapping, or a link of /proc/PID. `origin`
 * finds it again later, as long as the tree is frozen.
 */
struct origin {
	struct target *t;
	struct tfd fd;		     /* -1: not a descriptor */
	uint64_t map_start, map_end; /* of a mapping */
	const char *link;	     /* "exe", "cwd", "root", or NULL */
};
struct fdesc {
	struct origin o;
	char what[64]; /* "fd 5", "mapping 7f00-7f10", "cwd" */
	int local;     /* our own copy; O_PATH for mappings and links */
	struct stat st;
	struct fdinfo info;
	struct fown fown;
	const char *name;   /* as readlink shows it */
	const char *fdinfo; /* whole text; "" for mappings and links */
};

/* Our own descriptor of it: a copy of a descriptor, else O_PATH. */
MUST_USE int origin_open(const struct origin *o, struct err *err);
/* A readable one of the same inode, with a position of its own. */
MUST_USE int origin_open_read(const struct origin *o, struct err *err);
/* Opens the file behind one of our descriptors (O_PATH too) anew: a new open file description. */
MUST_USE int fd_reopen(int fd, int flags);

/* "pid 812 (nginx): fd 9": the part in front of a message. */
int fdesc_err(const struct fdesc *d, struct err *err);

/* stat and fdinfo of descriptor n: all that sharing is decided by. -ENOENT (no err) if closed. */
MUST_USE int fdesc_identify(struct target *t, int n, struct fdesc *ret, struct arena *a,
			    struct err *err);
/* The rest: our copy in d->local, the link's text, the owner. fdesc_done closes. */
MUST_USE int fdesc_collect(struct fdesc *d, struct arena *a, struct err *err);
void fdesc_done(struct fdesc *d);
/* f_type of statfs; 0 if it can't be asked. */
uint64_t fdesc_fs_magic(const struct fdesc *d);

static inline void auto_fdesc_(struct fdesc *d)
{
	fdesc_done(d);
}
#define auto_fdesc __attribute__((cleanup(auto_fdesc_)))

/*
 * Restore: owner, signal, and those flags that open() doesn't set or that must come after the
 * owner, on an open descriptor of ours. Nothing for O_PATH.
 */
MUST_USE int fd_restore_common(int fd, uint32_t flags, const struct fown *fown, struct err *err);
/*
 * O_ASYNC, by the task itself: the number with which it is set is what SIGIO tells (si_fd). Last of
 * all, so that nothing torpor does to the file makes a signal.
 */
MUST_USE int fd_restore_async(struct target *t, int num, uint32_t flags, struct err *err);
