/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/timens.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/schema/timens.pb-c.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define NSEC_PER_SEC INT64_C(1000000000)

/* Nanoseconds that a namespace adds to the machine's clocks. */
struct offsets {
	int64_t monotonic, boottime;
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Lines "monotonic SEC NSEC" and "boottime SEC NSEC" of /proc/PID/timens_offsets (Linux 5.6). */
static int read_offsets(int proc, struct offsets *ret)
{
	auto_free char *text = NULL;
	int r = io_read_file(proc, "timens_offsets", &text, NULL);

	*ret = (struct offsets){0};
	if (r == -ENOENT)
		return 0;
	TRY(r);
	for (char *line = text, *next; line; line = next) {
		const char *p = str_after(line, "monotonic"), *q = str_after(line, "boottime");
		int64_t sec, nsec;
		const char *s = p ? p : q;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!s || !scan_i64(&s, 10, &sec) || !scan_i64(&s, 10, &nsec))
			continue;
		*(p ? &ret->monotonic : &ret->boottime) = sec * NSEC_PER_SEC + nsec;
	}
	return 0;
}

static int own_offsets(struct offsets *ret)
{
	auto_close int proc = open("/proc/self", O_PATH | O_CLOEXEC);

	return proc < 0 ? -errno : read_offsets(proc, ret);
}

int timens_dump(const struct img_dir *dir, uint32_t ns_id, const struct target *t, struct err *err)
{
	Timespec mono = TIMESPEC__INIT, boot = TIMESPEC__INIT;
	TimensEntry e = TIMENS_ENTRY__INIT;
	struct offsets own, theirs;
	int64_t m, b;
	int r;

	r = own_offsets(&own);
	if (r == 0)
		r = read_offsets(t->proc, &theirs);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): timens_offsets", t->pid, t->comm);
	m = clock_ns(CLOCK_MONOTONIC) - own.monotonic + theirs.monotonic;
	b = clock_ns(CLOCK_BOOTTIME) - own.boottime + theirs.boottime;
	mono.tv_sec = (uint64_t)(m / NSEC_PER_SEC);
	mono.tv_nsec = (uint64_t)(m % NSEC_PER_SEC);
	boot.tv_sec = (uint64_t)(b / NSEC_PER_SEC);
	boot.tv_nsec = (uint64_t)(b % NSEC_PER_SEC);
	e.monotonic = &mono;
	e.boottime = &boot;
	return img_write_one(dir, IMG_TIMENS, ns_id, &e.base, err);
}

/* The kernel wants a non-negative nanosecond part. */
static int print_offset(char *buf, size_t size, const char *clock, int64_t ns)
{
	int64_t sec = ns / NSEC_PER_SEC, nsec = ns % NSEC_PER_SEC;

	if (nsec < 0) {
		sec--;
		nsec += NSEC_PER_SEC;
	}
	return snprintf(buf, size, "%s %lld %lld\n", clock, (long long)sec, (long long)nsec);
}

static int check_time(const Timespec *t, const char *clock, struct err *err)
{
	if (t->tv_nsec < (uint64_t)NSEC_PER_SEC && t->tv_sec < INT64_MAX / NSEC_PER_SEC / 2)
		return 0;
	return err_input(err, "time namespace: %s clock is out of range", clock);
}

/* New children only: torpor itself stays where it is. */
static int make_namespace(const TimensEntry *e)
{
	int64_t m = (int64_t)e->monotonic->tv_sec * NSEC_PER_SEC + (int64_t)e->monotonic->tv_nsec;
	int64_t b = (int64_t)e->boottime->tv_sec * NSEC_PER_SEC + (int64_t)e->boottime->tv_nsec;
	struct offsets own;
	char text[128];
	int n;

	TRY(own_offsets(&own));
	if (unshare(CLONE_NEWTIME) < 0)
		return -errno;
	m += own.monotonic - clock_ns(CLOCK_MONOTONIC);
	b += own.boottime - clock_ns(CLOCK_BOOTTIME);
	n = print_offset(text, sizeof(text), "monotonic", m);
	print_offset(text + n, sizeof(text) - (size_t)n, "boottime", b);
	return io_write_file(AT_FDCWD, "/proc/self/timens_offsets", text);
}

int timens_enter(struct timens *tn, const struct img_dir *dir, uint32_t ns_id, struct arena *a,
		 struct err *err)
{
	TimensEntry *e;
	int r;

	tn->own = -EBADF;
	r = img_read_opt(dir, IMG_TIMENS, ns_id, a, &e, err);
	if (r <= 0)
		return r;
	TRY(check_time(e->monotonic, "monotonic", err));
	TRY(check_time(e->boottime, "boottime", err));
	tn->own = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	if (tn->own < 0)
		r = -errno;
	else
		r = make_namespace(e);
	if (r < 0) {
		log_warn("the clocks of the tree can't be set back to those of the dump: %s; "
			 "monotonic time jumps for it",
			 strerror(-r));
		timens_leave(tn);
	}
	return 0;
}

void timens_leave(struct timens *tn)
{
	if (tn->own >= 0 && setns(tn->own, CLONE_NEWTIME) < 0)
		log_warn("torpor's children stay in the time namespace of the tree: %s",
			 strerror(errno));
	tn->own = fd_close(tn->own);
}
