/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procfs, read generically: a directory descriptor of /proc/PID, lines, fields, lists of ids.
 * No policy: what a field means is decided by who owns the object.
 *
 * A process that has died shows as -ENOENT (open) or -ESRCH (read): proc_is_gone() knows both.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* O_PATH directory descriptor of /proc/PID. */
int proc_open(pid_t pid);
static inline bool proc_is_gone(int code)
{
	return code == -2 /* ENOENT */ || code == -3 /* ESRCH */;
}

/*
 * Lines of any length of a text file:
 *
 *	auto_lines struct proc_lines l = PROC_LINES_INIT;
 *	TRY(proc_lines_open(&l, proc, "maps"));
 *	while ((r = proc_lines_next(&l, &line)) > 0)
 *		use(line);
 *
 * The line is valid (and may be changed) until the next call; its newline is cut off.
 */
struct proc_lines {
	int fd;
	char *buf;
	size_t cap, start, end;
};
#define PROC_LINES_INIT ((struct proc_lines){.fd = -1})
MUST_USE int proc_lines_open(struct proc_lines *l, int dirfd, const char *path);
MUST_USE int proc_lines_next(struct proc_lines *l, char **line); /* 1, 0 at the end, or < 0 */
void proc_lines_close(struct proc_lines *l);
#define auto_lines __attribute__((cleanup(proc_lines_close)))

/* /proc/PID/stat (or task/TID/stat), the fields that are of use; man 5 proc. */
struct proc_stat {
	pid_t pid;
	char comm[64]; /* kernel threads have long ones */
	char state;
	pid_t ppid, pgid, sid;
	int tty_nr;
	pid_t tty_pgrp;
	unsigned int flags; /* PF_* */
	int64_t nice;
	int64_t num_threads;
	uint64_t start_time; /* clock ticks since boot */
	uint64_t start_code, end_code, start_stack;
	unsigned int rt_priority, policy;
	uint64_t start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	int exit_code; /* raw wait status */
};
MUST_USE int proc_read_stat(int dirfd, const char *path, struct proc_stat *ret);

/*
 * A field of a "Key:\tvalue" file (status, fdinfo, limits of io) read with io_read_file: the text
 * behind the colon and blanks, up to the end of line; NULL if there is none.
 */
const char *proc_field(const char *text, const char *key);
/* The same as a number; false if missing or no number. */
bool proc_field_u64(const char *text, const char *key, int base, uint64_t *ret);
/* The last number of a line such as "NSpid:\t812\t5". */
bool proc_field_last(const char *text, const char *key, uint64_t *ret, size_t *count);

/*
 * A small file in one read, without the heap: its length, terminated. -EFBIG if it may be longer
 * than the buffer (procfs fills a buffer but for its last record).
 */
ssize_t proc_read_small(int dirfd, const char *path, char *buf, size_t size);

struct proc_ids {
	pid_t *data;
	size_t len, cap;
};
/* Appends the ids in a directory of numbers: "task", "fd", or /proc itself. */
MUST_USE int proc_list_dir(int dirfd, const char *path, struct proc_ids *ids);
/* Appends the children of one thread (/proc/PID/task/TID/children). */
MUST_USE int proc_list_children(int dirfd, pid_t tid, struct proc_ids *ids);
static inline void proc_ids_done(struct proc_ids *ids)
{
	vec_done(ids);
}
#define auto_ids __attribute__((cleanup(proc_ids_done)))

/* One line of /proc/PID/maps (or the head line of smaps). `name` points into the line. */
struct proc_map {
	uint64_t start, end, pgoff; /* pgoff in bytes */
	char perms[5];		    /* "rwxp" */
	unsigned int dev_major, dev_minor;
	uint64_t ino;
	const char *name; /* "" if none */
};
MUST_USE int proc_parse_map(const char *line, struct proc_map *ret);
