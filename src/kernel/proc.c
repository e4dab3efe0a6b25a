/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/proc.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int proc_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int proc_lines_open(struct proc_lines *l, int dirfd, const char *path)
{
	*l = PROC_LINES_INIT;
	l->fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (l->fd < 0)
		return -errno;
	l->cap = 16384;
	l->buf = xcalloc(1, l->cap + 1);
	return 0;
}

void proc_lines_close(struct proc_lines *l)
{
	l->fd = fd_close(l->fd);
	free(l->buf);
	l->buf = NULL;
}

/* Makes room behind `end` and reads once. 0 at end of file. */
static ssize_t lines_fill(struct proc_lines *l)
{
	ssize_t n;

	if (l->start) {
		memmove(l->buf, l->buf + l->start, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
	}
	if (l->end == l->cap) {
		l->cap *= 2;
		l->buf = xrealloc(l->buf, l->cap + 1, 1);
	}
	do
		n = read(l->fd, l->buf + l->end, l->cap - l->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	l->end += (size_t)n;
	return n;
}

int proc_lines_next(struct proc_lines *l, char **line)
{
	size_t seen = 0;

	for (;;) {
		char *at = l->buf + l->start;
		char *nl = memchr(at + seen, '\n', l->end - l->start - seen);
		ssize_t n;

		if (nl) {
			*nl = '\0';
			*line = at;
			l->start = (size_t)(nl + 1 - l->buf);
			return 1;
		}
		seen = l->end - l->start;
		n = lines_fill(l);
		if (n < 0)
			return (int)n;
		if (n == 0 && seen == 0)
			return 0;
		if (n == 0) { /* last line without newline */
			l->buf[l->end] = '\0';
			*line = l->buf + l->start;
			l->start = l->end;
			return 1;
		}
	}
}

/* Fields behind the comm, numbered as in man 5 proc: `state` is 3. */
struct stat_cursor {
	const char *p;
	int next;
	bool ok;
};

static int64_t stat_field(struct stat_cursor *c, int number)
{
	uint64_t u = 0;
	int64_t v = 0;

	for (; c->next <= number; c->next++) {
		while (*c->p == ' ')
			c->p++;
		/* Some are unsigned and above INT64_MAX (rsslim, addresses of kernel code). */
		if (scan_i64(&c->p, 10, &v))
			continue;
		if (!scan_u64(&c->p, 10, &u))
			c->ok = false;
		v = (int64_t)u;
	}
	return v;
}

static int stat_parse(const char *text, struct proc_stat *s)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	struct stat_cursor c;
	uint64_t pid;
	size_t n;

	if (!scan_u64(&text, 10, &pid) || !open || !close || close < open || close[1] != ' ')
		return -EINVAL;
	n = MIN((size_t)(close - open - 1), sizeof(s->comm) - 1);
	*s = (struct proc_stat){.pid = (pid_t)pid, .state = close[2]};
	memcpy(s->comm, open + 1, n);
	c = (struct stat_cursor){.p = close + 3, .next = 4, .ok = close[2] != '\0'};
	s->ppid = (pid_t)stat_field(&c, 4);
	s->pgid = (pid_t)stat_field(&c, 5);
	s->sid = (pid_t)stat_field(&c, 6);
	s->tty_nr = (int)stat_field(&c, 7);
	s->tty_pgrp = (pid_t)stat_field(&c, 8);
	s->flags = (unsigned int)stat_field(&c, 9);
	s->nice = stat_field(&c, 19);
	s->num_threads = stat_field(&c, 20);
	s->start_time = (uint64_t)stat_field(&c, 22);
	s->start_code = (uint64_t)stat_field(&c, 26);
	s->end_code = (uint64_t)stat_field(&c, 27);
	s->start_stack = (uint64_t)stat_field(&c, 28);
	s->rt_priority = (unsigned int)stat_field(&c, 40);
	s->policy = (unsigned int)stat_field(&c, 41);
	s->start_data = (uint64_t)stat_field(&c, 45);
	s->end_data = (uint64_t)stat_field(&c, 46);
	s->start_brk = (uint64_t)stat_field(&c, 47);
	s->arg_start = (uint64_t)stat_field(&c, 48);
	s->arg_end = (uint64_t)stat_field(&c, 49);
	s->env_start = (uint64_t)stat_field(&c, 50);
	s->env_end = (uint64_t)stat_field(&c, 51);
	s->exit_code = (int)stat_field(&c, 52);
	return c.ok ? 0 : -EINVAL;
}

ssize_t proc_read_small(int dirfd, const char *path, char *buf, size_t size)
{
	auto_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n + 128 > size)
		return -EFBIG;
	buf[n] = '\0';
	return n;
}

int proc_read_stat(int dirfd, const char *path, struct proc_stat *ret)
{
	char buf[2048];
	struct proc_stat s;
	ssize_t n = proc_read_small(dirfd, path, buf, sizeof(buf));

	if (n < 0)
		return (int)n;
	TRY(stat_parse(buf, &s));
	*ret = s;
	return 0;
}

const char *proc_field(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, n) == 0 && p[n] == ':')
			return p + n + 1 + strspn(p + n + 1, " \t");
	}
	return NULL;
}

bool proc_field_u64(const char *text, const char *key, int base, uint64_t *ret)
{
	const char *p = proc_field(text, key);

	return p && scan_u64(&p, base, ret);
}

bool proc_field_last(const char *text, const char *key, uint64_t *ret, size_t *count)
{
	const char *p = proc_field(text, key);
	uint64_t v;

	for (*count = 0; p && scan_u64(&p, 10, &v); (*count)++)
		*ret = v;
	return *count > 0;
}

/* getdents64 directly: opendir() would allocate and stat. */
int proc_list_dir(int dirfd, const char *path, struct proc_ids *ids)
{
	auto_close int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(8) char buf[32768];

	if (fd < 0)
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, fd, buf, sizeof(buf));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (long off = 0; off < n;) {
			struct linux_dirent64 {
				uint64_t d_ino;
				int64_t d_off;
				unsigned short d_reclen;
				unsigned char d_type;
				char d_name[];
			} *d = (void *)(buf + off);
			uint64_t id;

			off += d->d_reclen;
			if (parse_u64(d->d_name, 10, &id) == 0)
				*vec_push(ids) = (pid_t)id;
		}
	}
}

int proc_list_children(int dirfd, pid_t tid, struct proc_ids *ids)
{
	char path[64], buf[4096];
	auto_free char *text = NULL;
	const char *p = buf;
	uint64_t id;
	ssize_t n;

	snprintf(path, sizeof(path), "task/%d/children", tid);
	n = proc_read_small(dirfd, path, buf, sizeof(buf));
	if (n == -EFBIG) {
		TRY(io_read_file(dirfd, path, &text, NULL));
		p = text;
	} else if (n < 0) {
		return (int)n;
	}
	while (scan_u64(&p, 10, &id))
		*vec_push(ids) = (pid_t)id;
	return 0;
}

int proc_parse_map(const char *line, struct proc_map *m)
{
	const char *p = line;
	uint64_t major, minor;

	if (!scan_u64(&p, 16, &m->start) || !scan_char(&p, '-') || !scan_u64(&p, 16, &m->end) ||
	    !scan_word(&p, m->perms, sizeof(m->perms)) || !scan_u64(&p, 16, &m->pgoff) ||
	    !scan_u64(&p, 16, &major) || !scan_char(&p, ':') || !scan_u64(&p, 16, &minor) ||
	    !scan_u64(&p, 10, &m->ino))
		return -EINVAL;
	m->dev_major = (unsigned int)major;
	m->dev_minor = (unsigned int)minor;
	m->name = p + strspn(p, " ");
	return 0;
}
